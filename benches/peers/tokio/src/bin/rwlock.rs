// SPDX-License-Identifier: MIT

//! Eight readers, one writer, one read-write lock: benches/rwlock.c with Tokio.
//!
//! "tokio" is tokio::sync::RwLock, whose waiters let other tasks run. "tokio std" is
//! std::sync::RwLock, whose waiters block their thread, so that it can't be held over a yield.

use coir_bench_peers_tokio::{check, Options};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::RwLock;

#[derive(Default)]
struct Quote {
    number: u64,
    triple: u64, // == 3 * number, but for whoever is writing
}

impl Quote {
    fn good(&self) -> u64 {
        u64::from(self.triple == 3 * self.number)
    }

    fn change(&mut self) {
        self.number += 1;
        self.triple += 3;
    }
}

type Shared = Arc<RwLock<Quote>>;
type StdShared = Arc<std::sync::RwLock<Quote>>;

async fn read(shared: Shared, reads: u64) -> u64 {
    let mut good = 0;
    for _ in 0..reads {
        good += shared.read().await.good();
    }
    good
}

async fn write(shared: Shared, writes: u64) {
    for _ in 0..writes {
        shared.write().await.change();
        tokio::task::yield_now().await;
    }
}

async fn read_and_yield(shared: Shared, reads: u64) -> u64 {
    let mut good = 0;
    for _ in 0..reads {
        let quote = shared.read().await;
        let number = quote.number;
        tokio::task::yield_now().await;
        good += u64::from(quote.triple == 3 * number);
    }
    good
}

async fn write_and_yield(shared: Shared, writes: u64) {
    for _ in 0..writes {
        let mut quote = shared.write().await;
        quote.number += 1;
        tokio::task::yield_now().await;
        quote.triple += 3;
    }
}

async fn read_std(shared: StdShared, reads: u64) -> u64 {
    let mut good = 0;
    for _ in 0..reads {
        good += shared.read().expect("nobody panics").good();
    }
    good
}

async fn write_std(shared: StdShared, writes: u64) {
    for _ in 0..writes {
        shared.write().expect("nobody panics").change();
        tokio::task::yield_now().await;
    }
}

/// Runs the tasks of each repetition; returns the samples and the consistent reads.
fn measure<S, R, W>(
    o: &Options,
    shared: &Arc<S>,
    (reads, writes): (u64, u64),
    read: fn(Arc<S>, u64) -> R,
    write: fn(Arc<S>, u64) -> W,
) -> (Vec<f64>, u64)
where
    R: Future<Output = u64> + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let readers = o.get("-t");
    let sections = readers * reads + writes;
    let mut samples = Vec::new();
    let mut good = 0;
    o.runtime().block_on(async {
        for _ in 0..o.get("-r") {
            let start = Instant::now();
            let handles: Vec<_> = (0..readers)
                .map(|_| tokio::spawn(read(shared.clone(), reads)))
                .collect();
            let writer = (writes > 0).then(|| tokio::spawn(write(shared.clone(), writes)));
            for handle in handles {
                good += handle.await.expect("the reader ends well");
            }
            if let Some(writer) = writer {
                writer.await.expect("the writer ends well");
            }
            samples.push(start.elapsed().as_nanos() as f64 / sections as f64);
        }
    });
    (samples, good)
}

fn report(
    o: &Options,
    name: &str,
    scenario: &str,
    (reads, writes): (u64, u64),
    (mut samples, good): (Vec<f64>, u64),
    last: &Quote,
) {
    let done = good + last.number;
    check(last.triple, 3 * last.number);
    check(done, o.get("-r") * (o.get("-t") * reads + writes));
    o.print_median(name, scenario, "ns per section", &mut samples, done);
}

fn main() {
    let o = Options::parse(&[("-t", 8), ("-n", 100_000), ("-r", 15)]);
    let n = o.get("-n");

    for (scenario, counts) in [("rwlock", (n, n / 10)), ("rwlock, readers only", (n, 0))] {
        let shared = Shared::default();
        let measured = measure(&o, &shared, counts, read, write);
        let last = shared.blocking_read();
        report(&o, "tokio", scenario, counts, measured, &last);

        let shared = StdShared::default();
        let measured = measure(&o, &shared, counts, read_std, write_std);
        let last = shared.read().expect("nobody panics");
        report(&o, "tokio std", scenario, counts, measured, &last);
    }

    let (scenario, counts) = ("rwlock, held over a yield", (n / 10, n / 100));
    let shared = Shared::default();
    let measured = measure(&o, &shared, counts, read_and_yield, write_and_yield);
    let last = shared.blocking_read();
    report(&o, "tokio", scenario, counts, measured, &last);
}
