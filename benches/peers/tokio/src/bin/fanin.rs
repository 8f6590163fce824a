// SPDX-License-Identifier: MIT

//! 1,000 tasks send 100,000 items to one over one channel: benches/fanin.c with Tokio.
//!
//! The channel is an mpsc channel, made for this. The least capacity it has is 1, where a send does
//! not wait for the receiver; for want of better it stands beside the rendezvous channels of the
//! others.

use coir_bench_peers_tokio::{check, hash, items_row, Options};
use std::time::Instant;
use tokio::sync::mpsc::{channel, Receiver, Sender};

async fn send(to: Sender<u64>, begin: u64, end: u64, steps: u64) {
    for i in begin..end {
        to.send(hash(i + 1, steps))
            .await
            .expect("the receiver is there");
    }
}

async fn receive(mut from: Receiver<u64>) -> u64 {
    let mut sum = 0u64;
    while let Some(item) = from.recv().await {
        sum = sum.wrapping_add(item);
    }
    sum
}

async fn transfer(
    to: Sender<u64>,
    from: Receiver<u64>,
    senders: u64,
    items: u64,
    steps: u64,
) -> u64 {
    let receiver = tokio::spawn(receive(from));
    let mut handles = Vec::with_capacity(senders as usize);
    for s in 0..senders {
        let (begin, end) = (s * items / senders, (s + 1) * items / senders);
        handles.push(tokio::spawn(send(to.clone(), begin, end, steps)));
    }
    drop(to); // the channel closes with its last sender
    for handle in handles {
        handle.await.expect("the sender ends well");
    }
    receiver.await.expect("the receiver ends well")
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
    let (capacity, steps) = (o.get("-b"), o.get("-x"));
    let runtime = o.runtime();
    let mut samples = Vec::new();
    let mut sum = 0u64;
    runtime.block_on(async {
        for _ in 0..repeats {
            let (to, from) = channel(capacity.max(1) as usize);
            let start = Instant::now();
            sum = sum.wrapping_add(transfer(to, from, senders, items, steps).await);
            samples.push(start.elapsed().as_nanos() as f64 / items as f64);
        }
    });

    let (scenario, wanted) = items_row("fanin", items, capacity, steps);
    check(sum, wanted.wrapping_mul(repeats));
    o.print_median("tokio", &scenario, "ns per item", &mut samples, sum);
}
