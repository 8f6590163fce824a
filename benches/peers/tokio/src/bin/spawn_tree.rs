// SPDX-License-Identifier: MIT

//! A binary tree of tasks, each of which waits for two: benches/spawn_tree.c with Tokio.

use coir_bench_peers_tokio::{check, Options};
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

/// Boxed, because the type of a future can't contain itself.
fn grow(depth: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return 1;
        }
        let left = tokio::spawn(grow(depth - 1));
        let right = tokio::spawn(grow(depth - 1));
        let left = left.await.expect("the task ends well");
        left + right.await.expect("the task ends well") + 1
    })
}

fn main() {
    let o = Options::parse(&[("-d", 16), ("-r", 5)]);
    let (depth, repeats) = (o.get("-d"), o.get("-r"));
    let tasks = (2u64 << depth) - 1;
    let mut samples = Vec::new();
    o.runtime().block_on(async {
        for _ in 0..=repeats {
            let start = Instant::now();
            let count = tokio::spawn(grow(depth)).await.expect("the task ends well");
            check(count, tasks);
            samples.push(start.elapsed().as_nanos() as f64 / tasks as f64);
        }
    });
    let (cold, warm) = samples.split_at_mut(1);
    o.print_median("tokio", "spawn tree, cold", "ns per task", cold, tasks);
    o.print_median("tokio", "spawn tree", "ns per task", warm, tasks * repeats);
}
