// SPDX-License-Identifier: MIT

//! Many tasks that sleep for 10 ms: benches/sleepers.c with Tokio.
//!
//! Tokio's timers have a resolution of 1 ms, and fire late rather than early: up to 1 ms of each
//! round is that, which is 100 ns per task of 10,000.

use coir_bench_peers_tokio::{check, Options};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-m", 10), ("-r", 10)]);
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    let sleep = Duration::from_millis(o.get("-m"));
    let rested = Arc::new(AtomicU64::new(0));
    let mut samples = Vec::new();
    o.runtime_with_io().block_on(async {
        for _ in 0..=repeats {
            let start = Instant::now();
            let mut handles = Vec::with_capacity(tasks as usize);
            for _ in 0..tasks {
                let rested = rested.clone();
                handles.push(tokio::spawn(async move {
                    tokio::time::sleep(sleep).await;
                    rested.fetch_add(1, Relaxed);
                }));
            }
            for handle in handles {
                handle.await.expect("the task ends well");
            }
            samples.push((start.elapsed() - sleep).as_nanos() as f64 / tasks as f64);
        }
    });
    check(rested.load(Relaxed), tasks * (repeats + 1));
    let name = format!("sleepers, {tasks}");
    let (cold, warm) = samples.split_at_mut(1);
    o.print_median(
        "tokio",
        &format!("{name}, cold"),
        "ns per task",
        cold,
        tasks,
    );
    o.print_median("tokio", &name, "ns per task", warm, tasks * repeats);
}
