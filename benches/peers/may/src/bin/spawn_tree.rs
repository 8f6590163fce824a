// SPDX-License-Identifier: MIT

//! A binary tree of coroutines, each of which waits for two: benches/spawn_tree.c with may.

use coir_bench_peers_may::{check, want_stacks, Options};
use std::time::Instant;

fn grow(depth: u64) -> u64 {
    if depth == 0 {
        return 1;
    }
    let left = may::go!(move || grow(depth - 1));
    let right = may::go!(move || grow(depth - 1));
    let left = left.join().expect("the coroutine ends well");
    left + right.join().expect("the coroutine ends well") + 1
}

fn main() {
    let o = Options::parse(&[("-d", 16), ("-r", 5)]);
    let (depth, repeats) = (o.get("-d"), o.get("-r"));
    let tasks = (2u64 << depth) - 1;
    want_stacks(tasks);
    let mut samples = o.run(move || {
        let mut samples = Vec::new();
        for _ in 0..=repeats {
            let start = Instant::now();
            let root = may::go!(move || grow(depth));
            check(root.join().expect("the coroutine ends well"), tasks);
            samples.push(start.elapsed().as_nanos() as f64 / tasks as f64);
        }
        samples
    });
    let (cold, warm) = samples.split_at_mut(1);
    o.print_median("may", "spawn tree, cold", "ns per task", cold, tasks);
    o.print_median("may", "spawn tree", "ns per task", warm, tasks * repeats);
}
