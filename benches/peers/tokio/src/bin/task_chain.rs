// SPDX-License-Identifier: MIT

//! Tasks in a row: benches/task_chain.c with Tokio.
//!
//! For each hand-over a oneshot channel, which is what Tokio has for a single value. They can't be
//! used again, so making them is inside the time.

use coir_bench_peers_tokio::{check, Options};
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;
use tokio::sync::oneshot;

/// Boxed, because the type of a future can't contain itself.
fn spawn_next(after: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        match after {
            0 => 1,
            _ => {
                let next = tokio::spawn(spawn_next(after - 1));
                next.await.expect("the task ends well") + 1
            }
        }
    })
}

async fn chain_by_spawn(tasks: u64) -> u64 {
    spawn_next(tasks).await - 1 // this task is not counted
}

async fn chain_by_channels(tasks: u64) -> u64 {
    let (begin, mut left) = oneshot::channel::<u64>();
    let mut handles = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        let (right, next) = oneshot::channel();
        handles.push(tokio::spawn(async move {
            let value = left.await.expect("the left one sends");
            right.send(value + 1).expect("the right one receives");
        }));
        left = next;
    }
    begin.send(0).expect("the first one receives");
    let count = left.await.expect("the last one sends");
    for handle in handles {
        handle.await.expect("the task ends well");
    }
    count
}

fn measure<F: Future<Output = u64>>(o: &Options, scenario: &str, form: fn(u64) -> F) {
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    let mut samples = Vec::new();
    let mut sum = 0;
    o.runtime().block_on(async {
        for _ in 0..repeats {
            let start = Instant::now();
            sum += form(tasks).await;
            samples.push(start.elapsed().as_nanos() as f64 / tasks as f64);
        }
    });
    check(sum, tasks * repeats);
    o.print_median("tokio", scenario, "ns per task", &mut samples, sum);
}

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-r", 30)]);
    measure(&o, "task chain, spawn and wait", chain_by_spawn);
    measure(&o, "task chain, channels", chain_by_channels);
}
