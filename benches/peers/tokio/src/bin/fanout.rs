// SPDX-License-Identifier: MIT

//! One task sends 100,000 items to 1,000 over one channel: benches/fanout.c with Tokio.
//!
//! Tokio's queues have one receiver. Its users share that behind a mutex ("tokio", nothing but
//! Tokio), or take the crate async-channel, whose channels have many ("tokio async-channel"). The
//! least capacity of either is 1, where a send does not wait for a receiver; for want of better it
//! stands beside the rendezvous channels of the others.

use coir_bench_peers_tokio::{check, hash, items_row, Options};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, Mutex};
use tokio::task::JoinHandle;

async fn receive_shared(from: Arc<Mutex<mpsc::Receiver<u64>>>, steps: u64) -> u64 {
    let mut sum = 0u64;
    loop {
        let item = from.lock().await.recv().await;
        match item {
            Some(item) => sum = sum.wrapping_add(hash(item, steps)),
            None => return sum,
        }
    }
}

async fn receive(from: async_channel::Receiver<u64>, steps: u64) -> u64 {
    let mut sum = 0u64;
    while let Ok(item) = from.recv().await {
        sum = sum.wrapping_add(hash(item, steps));
    }
    sum
}

async fn join(receivers: Vec<JoinHandle<u64>>, sender: JoinHandle<()>) -> u64 {
    let mut sum = 0u64;
    for receiver in receivers {
        sum = sum.wrapping_add(receiver.await.expect("the receiver ends well"));
    }
    sender.await.expect("the sender ends well");
    sum
}

type Shared = (mpsc::Sender<u64>, mpsc::Receiver<u64>);

async fn transfer_shared((to, from): Shared, receivers: u64, items: u64, steps: u64) -> u64 {
    let from = Arc::new(Mutex::new(from));
    let mut handles = Vec::with_capacity(receivers as usize);
    for _ in 0..receivers {
        handles.push(tokio::spawn(receive_shared(from.clone(), steps)));
    }
    let sender = tokio::spawn(async move {
        for i in 0..items {
            to.send(i + 1).await.expect("the receivers are there");
        }
    });
    join(handles, sender).await
}

type Many = (async_channel::Sender<u64>, async_channel::Receiver<u64>);

async fn transfer_many((to, from): Many, receivers: u64, items: u64, steps: u64) -> u64 {
    let mut handles = Vec::with_capacity(receivers as usize);
    for _ in 0..receivers {
        handles.push(tokio::spawn(receive(from.clone(), steps)));
    }
    let sender = tokio::spawn(async move {
        for i in 0..items {
            to.send(i + 1).await.expect("the receivers are there");
        }
    });
    join(handles, sender).await
}

fn measure<C, F: Future<Output = u64>>(
    o: &Options,
    name: &str,
    channel: impl Fn(usize) -> C,
    transfer: impl Fn(C, u64, u64, u64) -> F,
) {
    let (receivers, items, repeats) = (o.get("-t"), o.get("-n"), o.get("-r"));
    let (capacity, steps) = (o.get("-b"), o.get("-x"));
    let runtime = o.runtime();
    let mut samples = Vec::new();
    let mut sum = 0u64;
    runtime.block_on(async {
        for _ in 0..repeats {
            let both_ends = channel(capacity.max(1) as usize);
            let start = Instant::now();
            sum = sum.wrapping_add(transfer(both_ends, receivers, items, steps).await);
            samples.push(start.elapsed().as_nanos() as f64 / items as f64);
        }
    });

    let (scenario, wanted) = items_row("fanout", items, capacity, steps);
    check(sum, wanted.wrapping_mul(repeats));
    o.print_median(name, &scenario, "ns per item", &mut samples, sum);
}

fn main() {
    let o = Options::parse(&[
        ("-t", 1000),
        ("-n", 100_000),
        ("-b", 0),
        ("-x", 0),
        ("-r", 36),
    ]);
    measure(&o, "tokio", mpsc::channel, transfer_shared);
    measure(
        &o,
        "tokio async-channel",
        async_channel::bounded,
        transfer_many,
    );
}
