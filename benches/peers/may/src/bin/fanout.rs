// SPDX-License-Identifier: MIT

//! One coroutine sends 100,000 items to 1,000: benches/fanout.c with may's mpmc channel, which is
//! unbounded: the sender never waits, whatever -b says.

use coir_bench_peers_may::{check, hash, items_row, Options};
use may::sync::mpmc::channel;
use std::time::Instant;

fn transfer(receivers: u64, items: u64, steps: u64) -> u64 {
    let (to, from) = channel();
    let mut handles = Vec::with_capacity(receivers as usize);
    for _ in 0..receivers {
        let from = from.clone();
        handles.push(may::go!(move || {
            let mut sum = 0u64;
            while let Ok(item) = from.recv() {
                sum = sum.wrapping_add(hash(item, steps));
            }
            sum
        }));
    }
    let sender = may::go!(move || {
        for i in 0..items {
            to.send(i + 1).expect("the receivers are there");
        }
    });
    sender.join().expect("the sender ends well");
    handles.into_iter().fold(0u64, |sum, h| {
        sum.wrapping_add(h.join().expect("the receiver ends well"))
    })
}

fn main() {
    let o = Options::parse(&[
        ("-t", 1000),
        ("-n", 100_000),
        ("-b", 0),
        ("-x", 0),
        ("-r", 36),
    ]);
    let (receivers, items, repeats) = (o.get("-t"), o.get("-n"), o.get("-r"));
    let steps = o.get("-x");
    let (sum, mut samples) = o.run(move || {
        let (mut sum, mut samples): (u64, _) = (0, Vec::new());
        for _ in 0..repeats {
            let start = Instant::now();
            sum = sum.wrapping_add(transfer(receivers, items, steps));
            samples.push(start.elapsed().as_nanos() as f64 / items as f64);
        }
        (sum, samples)
    });
    let (scenario, wanted) = items_row("fanout", items, o.get("-b"), steps);
    check(sum, wanted.wrapping_mul(repeats));
    o.print_median("may", &scenario, "ns per item", &mut samples, sum);
}
