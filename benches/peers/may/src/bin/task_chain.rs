// SPDX-License-Identifier: MIT

//! Coroutines in a row: benches/task_chain.c with may, its spsc channels for the hand-overs.

use coir_bench_peers_may::{check, want_stacks, Options};
use may::sync::spsc::channel;
use std::time::Instant;

fn spawn_next(after: u64) -> u64 {
    match after {
        0 => 1,
        _ => {
            let next = may::go!(move || spawn_next(after - 1));
            next.join().expect("the coroutine ends well") + 1
        }
    }
}

fn chain_by_spawn(tasks: u64) -> u64 {
    spawn_next(tasks) - 1 // this coroutine is not counted
}

fn chain_by_channels(tasks: u64) -> u64 {
    let (begin, mut left) = channel::<u64>();
    let mut handles = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        let (right, next) = channel();
        handles.push(may::go!(move || {
            let value = left.recv().expect("the left one sends");
            right.send(value + 1).expect("the right one receives");
        }));
        left = next;
    }
    begin.send(0).expect("the first one receives");
    let count = left.recv().expect("the last one sends");
    for handle in handles {
        handle.join().expect("the coroutine ends well");
    }
    count
}

fn measure(o: &Options, scenario: &str, form: fn(u64) -> u64) {
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    want_stacks(tasks);
    let (sum, mut samples) = o.run(move || {
        let (mut sum, mut samples) = (0, Vec::new());
        for _ in 0..repeats {
            let start = Instant::now();
            sum += form(tasks);
            samples.push(start.elapsed().as_nanos() as f64 / tasks as f64);
        }
        (sum, samples)
    });
    check(sum, tasks * repeats);
    o.print_median("may", scenario, "ns per task", &mut samples, sum);
}

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-r", 30)]);
    measure(&o, "task chain, spawn and wait", chain_by_spawn);
    measure(&o, "task chain, channels", chain_by_channels);
}
