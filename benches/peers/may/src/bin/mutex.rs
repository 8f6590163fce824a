// SPDX-License-Identifier: MIT

//! Four coroutines that share a mutex: benches/mutex.c with may's Mutex.

use coir_bench_peers_may::{check, Options};
use may::coroutine::{scope, yield_now};
use may::sync::Mutex;
use std::time::Instant;

fn count(counter: &Mutex<u64>, sections: u64) {
    for _ in 0..sections {
        *counter.lock().unwrap() += 1;
    }
}

fn count_and_yield(counter: &Mutex<u64>, sections: u64) {
    for _ in 0..sections {
        let mut guard = counter.lock().unwrap();
        let before = *guard;
        yield_now();
        *guard = before + 1;
    }
}

fn measure(o: &Options, scenario: &str, f: fn(&Mutex<u64>, u64), sections: u64) {
    let (tasks, repeats) = (o.get("-t"), o.get("-r"));
    let (mut samples, total) = o.run(move || {
        let counter = Mutex::new(0);
        let mut samples = Vec::new();
        for _ in 0..repeats {
            let start = Instant::now();
            scope(|s| {
                for _ in 0..tasks {
                    may::go!(s, || f(&counter, sections));
                }
            });
            samples.push(start.elapsed().as_nanos() as f64 / (tasks * sections) as f64);
        }
        let total = *counter.lock().unwrap();
        (samples, total)
    });
    check(total, tasks * sections * repeats);
    o.print_median("may", scenario, "ns per section", &mut samples, total);
}

fn main() {
    let o = Options::parse(&[("-t", 4), ("-n", 100_000), ("-r", 30)]);
    let sections = o.get("-n");
    measure(&o, "mutex", count, sections);
    let fewer = (sections + 9) / 10;
    measure(&o, "mutex, held over a yield", count_and_yield, fewer);
}
