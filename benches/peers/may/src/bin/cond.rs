// SPDX-License-Identifier: MIT

//! Two coroutines take turns under a mutex and a condition: benches/cond.c with may.

use coir_bench_peers_may::{check, Options};
use may::coroutine::scope;
use may::sync::{Condvar, Mutex};
use std::time::Instant;

fn play(turns: &Mutex<u64>, changed: &Condvar, number: u64, rounds: u64) {
    for _ in 0..rounds {
        let mut now = turns.lock().unwrap();
        while *now % 2 != number {
            now = changed.wait(now).unwrap();
        }
        *now += 1;
        drop(now);
        changed.notify_one();
    }
}

fn main() {
    let o = Options::parse(&[("-n", 1_000_000)]);
    let rounds = o.get("-n");
    let (turns, elapsed) = o.run(move || {
        let (turns, changed) = (Mutex::new(0), Condvar::new());
        let start = Instant::now();
        scope(|s| {
            may::go!(s, || play(&turns, &changed, 0, rounds));
            may::go!(s, || play(&turns, &changed, 1, rounds));
        });
        let elapsed = start.elapsed().as_nanos() as f64;
        let taken = *turns.lock().unwrap();
        (taken, elapsed)
    });
    check(turns, 2 * rounds);
    let ns = elapsed / rounds as f64;
    println!("{rounds} rounds: {ns:.1} ns each");
    o.print("cond", "ns per round", ns, turns);
}
