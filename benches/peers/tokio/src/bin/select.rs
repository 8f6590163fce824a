// SPDX-License-Identifier: MIT

//! One task that receives from 2 or 8 channels by select: benches/select.c with Tokio.
//!
//! The channels are mpsc channels. The least capacity they have is 1, where a send does not wait
//! for the receiver; for want of better it stands beside the rendezvous channels of the others.

use coir_bench_peers_tokio::{check, Options};
use std::process::exit;
use std::time::Instant;
use tokio::select;
use tokio::sync::mpsc::{channel, Receiver, Sender};

type Receivers = Vec<Receiver<u64>>;

async fn receive_2(from: Receivers) -> u64 {
    let [mut a, mut b]: [_; 2] = from.try_into().expect("two channels");
    let mut sum = 0;
    loop {
        sum += select! {
            Some(v) = a.recv() => v,
            Some(v) = b.recv() => v,
            else => return sum,
        };
    }
}

async fn receive_8(from: Receivers) -> u64 {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h]: [_; 8] =
        from.try_into().expect("eight channels");
    let mut sum = 0;
    loop {
        sum += select! {
            Some(v) = a.recv() => v,
            Some(v) = b.recv() => v,
            Some(v) = c.recv() => v,
            Some(v) = d.recv() => v,
            Some(v) = e.recv() => v,
            Some(v) = f.recv() => v,
            Some(v) = g.recv() => v,
            Some(v) = h.recv() => v,
            else => return sum,
        };
    }
}

async fn transfer(to: Vec<Sender<u64>>, from: Receivers, each: u64) -> u64 {
    let receiver = match from.len() {
        2 => tokio::spawn(receive_2(from)),
        _ => tokio::spawn(receive_8(from)),
    };
    let mut handles = Vec::with_capacity(to.len());
    for to in to {
        handles.push(tokio::spawn(async move {
            for i in 0..each {
                to.send(i + 1).await.expect("the receiver is there");
            }
        }));
    }
    for handle in handles {
        handle.await.expect("the sender ends well");
    }
    receiver.await.expect("the receiver ends well")
}

fn main() {
    let o = Options::parse(&[("-c", 2), ("-n", 100_000), ("-b", 0), ("-r", 10)]);
    let (count, repeats, capacity) = (o.get("-c"), o.get("-r"), o.get("-b"));
    if count != 2 && count != 8 {
        eprintln!("-c takes 2 or 8: a select! has as many branches as it has");
        exit(2);
    }
    let each = o.get("-n") / count;
    let mut samples = Vec::new();
    let mut sum = 0;
    o.runtime().block_on(async {
        for _ in 0..repeats {
            let (to, from) = (0..count)
                .map(|_| channel(capacity.max(1) as usize))
                .unzip();
            let start = Instant::now();
            sum += transfer(to, from, each).await;
            samples.push(start.elapsed().as_nanos() as f64 / (each * count) as f64);
        }
    });

    check(sum, repeats * count * (each * (each + 1) / 2));
    let mut scenario = format!("select, {count} channels");
    if capacity > 0 {
        scenario += &format!(", capacity {capacity}");
    }
    o.print_median("tokio", &scenario, "ns per item", &mut samples, sum);
}
