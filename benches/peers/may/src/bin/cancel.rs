// SPDX-License-Identifier: MIT

//! 10,000 coroutines that wait are cancelled, and awaited: benches/cancel.c with may.
//!
//! A coroutine that is cancelled ends by a panic from where it waits, and so its destructors run.

use coir_bench_peers_may::{check, want_stacks, Options};
use may::coroutine::sleep;
use may::sync::Semphore;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// ns from the first cancel to the last end, and how many ended by it.
fn repetition(tasks: u64) -> (f64, u64) {
    let never = Arc::new(Semphore::new(0));
    let arrived = Arc::new(AtomicU64::new(0));
    let mut handles = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        let (never, arrived) = (never.clone(), arrived.clone());
        handles.push(may::go!(move || {
            arrived.fetch_add(1, Relaxed);
            never.wait();
        }));
    }
    while arrived.load(Relaxed) < tasks {
        sleep(Duration::from_millis(1)); // yield_now() may come back before any of them has run
    }
    let start = Instant::now();
    for handle in &handles {
        // What they have is dropped in order, as by any panic.
        unsafe { handle.coroutine().cancel() };
    }
    let cancelled = handles.into_iter().filter_map(|h| h.join().err()).count() as u64;
    (start.elapsed().as_nanos() as f64, cancelled)
}

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-r", 20)]);
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    want_stacks(tasks);
    let (count, mut samples) = o.run(move || {
        let (mut count, mut samples) = (0, Vec::new());
        for _ in 0..repeats {
            let (ns, cancelled) = repetition(tasks);
            count += cancelled;
            samples.push(ns / tasks as f64);
        }
        (count, samples)
    });
    check(count, tasks * repeats);
    o.print_median("may", "cancel", "ns per task", &mut samples, count);
}
