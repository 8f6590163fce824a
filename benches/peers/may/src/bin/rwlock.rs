// SPDX-License-Identifier: MIT

//! Eight readers and a writer: benches/rwlock.c with may's RwLock.

use coir_bench_peers_may::{check, Options};
use may::coroutine::{scope, yield_now};
use may::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

#[derive(Default)]
struct Quote {
    number: u64,
    triple: u64,
}

fn read_often(quote: &RwLock<Quote>, yields: bool, reads: u64) -> u64 {
    let mut good = 0;
    for _ in 0..reads {
        let q = quote.read().unwrap();
        let number = q.number;
        if yields {
            yield_now();
        }
        good += u64::from(q.triple == 3 * number);
    }
    good
}

fn write_often(quote: &RwLock<Quote>, yields: bool, writes: u64) {
    for _ in 0..writes {
        let mut q = quote.write().unwrap();
        q.number += 1;
        if yields {
            yield_now();
        }
        q.triple += 3;
        drop(q);
        if !yields {
            yield_now();
        }
    }
}

fn measure(o: &Options, scenario: &str, yields: bool, reads: u64, writes: u64) {
    let (readers, repeats) = (o.get("-t"), o.get("-r"));
    let sections = readers * reads + writes;
    let (mut samples, done) = o.run(move || {
        let (quote, good) = (RwLock::new(Quote::default()), AtomicU64::new(0));
        let mut samples = Vec::new();
        for _ in 0..repeats {
            let start = Instant::now();
            scope(|s| {
                for _ in 0..readers {
                    may::go!(s, || good.fetch_add(read_often(&quote, yields, reads), Relaxed));
                }
                if writes > 0 {
                    may::go!(s, || write_often(&quote, yields, writes));
                }
            });
            samples.push(start.elapsed().as_nanos() as f64 / sections as f64);
        }
        let done = good.load(Relaxed) + quote.read().unwrap().number;
        (samples, done)
    });
    check(done, repeats * sections);
    o.print_median("may", scenario, "ns per section", &mut samples, done);
}

fn main() {
    let o = Options::parse(&[("-t", 8), ("-n", 100_000), ("-r", 15)]);
    let n = o.get("-n");
    measure(&o, "rwlock", false, n, n / 10);
    measure(&o, "rwlock, readers only", false, n, 0);
    measure(&o, "rwlock, held over a yield", true, n / 10, n / 100);
}
