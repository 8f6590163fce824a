// SPDX-License-Identifier: MIT

//! 1,000 coroutines send 100,000 items to one: benches/fanin.c with may's mpsc channel, which is
//! unbounded: no sender ever waits, whatever -b says.

use coir_bench_peers_may::{check, hash, items_row, Options};
use may::coroutine::scope;
use may::sync::mpsc::channel;
use std::time::Instant;

fn transfer(senders: u64, items: u64, steps: u64) -> u64 {
    let (to, from) = channel();
    let receiver = may::go!(move || from.iter().fold(0u64, u64::wrapping_add));
    scope(|s| {
        for i in 0..senders {
            let to = to.clone();
            may::go!(s, move || {
                for item in i * items / senders..(i + 1) * items / senders {
                    to.send(hash(item + 1, steps))
                        .expect("the receiver is there");
                }
            });
        }
    });
    drop(to); // the channel closes with its last sender
    receiver.join().expect("the receiver ends well")
}

fn main() {
    let o = Options::parse(&[
        ("-t", 1000),
        ("-n", 100_000),
        ("-b", 0),
        ("-x", 0),
        ("-r", 36),
    ]);
    let (senders, items, repeats) = (o.get("-t"), o.get("-n"), o.get("-r"));
    let steps = o.get("-x");
    let (sum, mut samples) = o.run(move || {
        let (mut sum, mut samples) = (0u64, Vec::new());
        for _ in 0..repeats {
            let start = Instant::now();
            sum = sum.wrapping_add(transfer(senders, items, steps));
            samples.push(start.elapsed().as_nanos() as f64 / items as f64);
        }
        (sum, samples)
    });
    let (scenario, wanted) = items_row("fanin", items, o.get("-b"), steps);
    check(sum, wanted.wrapping_mul(repeats));
    o.print_median("may", &scenario, "ns per item", &mut samples, sum);
}
