// SPDX-License-Identifier: MIT

//! Four tasks and one mutex: benches/mutex.c with Tokio.
//!
//! "tokio" is tokio::sync::Mutex, whose waiters let other tasks run. "tokio std" is
//! std::sync::Mutex, which Tokio's documentation prefers for short sections: its waiters block
//! their thread, so that it can't be held over a yield.

use coir_bench_peers_tokio::{check, Options};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

type Counter = Arc<Mutex<u64>>;
type StdCounter = Arc<std::sync::Mutex<u64>>;

async fn count(counter: Counter, sections: u64) {
    for _ in 0..sections {
        *counter.lock().await += 1;
    }
}

async fn count_and_yield(counter: Counter, sections: u64) {
    for _ in 0..sections {
        let mut guard = counter.lock().await;
        let before = *guard;
        tokio::task::yield_now().await;
        *guard = before + 1;
    }
}

async fn count_std(counter: StdCounter, sections: u64) {
    for _ in 0..sections {
        *counter.lock().expect("nobody panics") += 1;
    }
}

/// Runs the tasks of each repetition; returns the samples.
fn measure<C: Clone, F: Future<Output = ()> + Send + 'static>(
    o: &Options,
    counter: &C,
    sections: u64,
    form: fn(C, u64) -> F,
) -> Vec<f64> {
    let tasks = o.get("-t");
    let mut samples = Vec::new();
    o.runtime().block_on(async {
        for _ in 0..o.get("-r") {
            let start = Instant::now();
            let handles: Vec<_> = (0..tasks)
                .map(|_| tokio::spawn(form(counter.clone(), sections)))
                .collect();
            for handle in handles {
                handle.await.expect("the task ends well");
            }
            samples.push(start.elapsed().as_nanos() as f64 / (tasks * sections) as f64);
        }
    });
    samples
}

fn report(o: &Options, name: &str, scenario: &str, samples: &mut [f64], sections: u64, count: u64) {
    check(count, o.get("-r") * o.get("-t") * sections);
    o.print_median(name, scenario, "ns per section", samples, count);
}

fn main() {
    let o = Options::parse(&[("-t", 4), ("-n", 100_000), ("-r", 30)]);
    let sections = o.get("-n");

    let counter = Counter::default();
    let mut samples = measure(&o, &counter, sections, count);
    let total = *counter.blocking_lock();
    report(&o, "tokio", "mutex", &mut samples, sections, total);

    let counter = StdCounter::default();
    let mut samples = measure(&o, &counter, sections, count_std);
    let total = *counter.lock().expect("nobody panics");
    report(&o, "tokio std", "mutex", &mut samples, sections, total);

    let sections = sections.div_ceil(10);
    let counter = Counter::default();
    let mut samples = measure(&o, &counter, sections, count_and_yield);
    let total = *counter.blocking_lock();
    let scenario = "mutex, held over a yield";
    report(&o, "tokio", scenario, &mut samples, sections, total);
}
