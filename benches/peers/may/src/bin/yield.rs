// SPDX-License-Identifier: MIT

//! Two coroutines that do nothing but give way: benches/yield.c with may.

use coir_bench_peers_may::{check, Options};
use may::coroutine::yield_now;
use std::time::Instant;

fn give_way(yields: u64) -> u64 {
    for _ in 0..yields {
        yield_now();
    }
    yields
}

fn main() {
    let o = Options::parse(&[("-n", 5_000_000)]);
    let yields = o.get("-n");
    let (count, elapsed) = o.run(move || {
        let start = Instant::now();
        let one = may::go!(move || give_way(yields));
        let other = may::go!(move || give_way(yields));
        let count = one.join().expect("it ends well") + other.join().expect("it ends well");
        (count, start.elapsed().as_nanos() as f64)
    });
    check(count, 2 * yields);
    let ns = elapsed / count as f64;
    println!("{count} yields: {ns:.2} ns each");
    o.print("yield", "ns per yield", ns, count);
}
