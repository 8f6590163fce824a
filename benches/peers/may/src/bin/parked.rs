// SPDX-License-Identifier: MIT

//! Many coroutines that all wait on one condition: benches/parked.c with may.

use coir_bench_peers_may::{check, memory, want_stacks, Options};
use may::coroutine::scope;
use may::sync::{Condvar, Mutex};
use std::time::Instant;

#[derive(Default)]
struct Gate {
    arrived: u64,
    open: bool,
}

fn wait_inside(tasks: u64, gate: &Mutex<Gate>, full: &Condvar, opened: &Condvar) {
    let mut now = gate.lock().unwrap();
    now.arrived += 1;
    if now.arrived == tasks {
        full.notify_one();
    }
    while !now.open {
        now = opened.wait(now).unwrap();
    }
}

/// ns until all wait, ns to wake and end all, and the growth in bytes.
fn round(tasks: u64) -> (f64, f64, f64) {
    let (gate, full, opened) = (Mutex::new(Gate::default()), Condvar::new(), Condvar::new());
    let (mut park, mut grown) = (0.0, 0.0);
    let mut woken = Instant::now();
    scope(|s| {
        let before = memory();
        let start = Instant::now();
        for _ in 0..tasks {
            may::go!(s, || wait_inside(tasks, &gate, &full, &opened));
        }
        let mut now = gate.lock().unwrap();
        while now.arrived < tasks {
            now = full.wait(now).unwrap();
        }
        park = start.elapsed().as_nanos() as f64;
        grown = memory() - before;
        woken = Instant::now();
        now.open = true;
        drop(now);
        opened.notify_all();
    });
    let wake = woken.elapsed().as_nanos() as f64;
    check(gate.into_inner().unwrap().arrived, tasks);
    (park, wake, grown)
}

fn main() {
    let o = Options::parse(&[("-n", 10_000)]);
    let tasks = o.get("-n");
    want_stacks(tasks);
    let ran = |rounds: &str| {
        let (park, wake, grown) = o.run(move || round(tasks));
        o.print_parked(&format!("parked {rounds}"), "ns per task", park);
        o.print_parked(&format!("wake {rounds}"), "ns per task", wake);
        grown
    };
    let grown = ran("cold");
    o.print_parked("parked memory", "bytes per task", grown);
    ran("warm");
}
