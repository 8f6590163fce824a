// SPDX-License-Identifier: MIT

//! Many coroutines that sleep for 10 ms: benches/sleepers.c with may.

use coir_bench_peers_may::{check, want_stacks, Options};
use may::coroutine::{scope, sleep};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-m", 10), ("-r", 10)]);
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    let time = Duration::from_millis(o.get("-m"));
    want_stacks(tasks);
    let (rested, mut samples) = o.run(move || {
        let rested = AtomicU64::new(0);
        let mut samples = Vec::new();
        for _ in 0..=repeats {
            let start = Instant::now();
            scope(|s| {
                for _ in 0..tasks {
                    may::go!(s, || {
                        sleep(time);
                        rested.fetch_add(1, Relaxed);
                    });
                }
            });
            let beyond = start.elapsed().as_nanos() as f64 - time.as_nanos() as f64;
            samples.push(beyond / tasks as f64);
        }
        (rested.into_inner(), samples)
    });
    check(rested, tasks * (repeats + 1));
    let name = format!("sleepers, {tasks}");
    let (cold, warm) = samples.split_at_mut(1);
    o.print_median("may", &format!("{name}, cold"), "ns per task", cold, tasks);
    o.print_median("may", &name, "ns per task", warm, tasks * repeats);
}
