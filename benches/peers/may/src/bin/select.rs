// SPDX-License-Identifier: MIT

//! One coroutine that receives from several channels: benches/select.c with may.
//!
//! By a Cqueue, may's select in a loop: a coroutine for each channel receives and says so, and who
//! polls runs the rest of it. `select!` makes a Cqueue and these coroutines for each single item. The
//! channels are unbounded: no sender ever waits.

use coir_bench_peers_may::{check, Options};
use may::cqueue;
use may::sync::mpsc::{channel, Receiver};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

fn receive(from: Vec<Receiver<u64>>) -> u64 {
    let sum = AtomicU64::new(0); // what follows es.send() runs in who polls, one after the other
    let total = &sum;
    cqueue::scope(|queue| {
        for (token, from) in from.into_iter().enumerate() {
            may::go!(queue, token, move |es| {
                for item in from.iter() {
                    es.send(0);
                    total.store(total.load(Relaxed) + item, Relaxed);
                }
            });
        }
        while queue.poll(None).is_ok() {}
    });
    sum.into_inner()
}

fn transfer(channels: u64, each: u64) -> u64 {
    let mut receivers = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..channels {
        let (to, from) = channel();
        receivers.push(from);
        senders.push(may::go!(move || {
            for i in 0..each {
                to.send(i + 1).expect("the receiver is there");
            }
        }));
    }
    let receiver = may::go!(move || receive(receivers));
    for sender in senders {
        sender.join().expect("the sender ends well");
    }
    receiver.join().expect("the receiver ends well")
}

fn main() {
    let o = Options::parse(&[("-c", 2), ("-n", 100_000), ("-r", 10)]);
    let (channels, repeats) = (o.get("-c"), o.get("-r"));
    let each = o.get("-n") / channels;
    let (sum, mut samples) = o.run(move || {
        let (mut sum, mut samples) = (0, Vec::new());
        for _ in 0..repeats {
            let start = Instant::now();
            sum += transfer(channels, each);
            samples.push(start.elapsed().as_nanos() as f64 / (each * channels) as f64);
        }
        (sum, samples)
    });
    check(sum, repeats * channels * (each * (each + 1) / 2));
    let scenario = format!("select, {channels} channels");
    o.print_median("may", &scenario, "ns per item", &mut samples, sum);
}
