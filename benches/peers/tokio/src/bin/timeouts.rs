// SPDX-License-Identifier: MIT

//! Receives under a timeout of 10 s that is never reached: benches/timeouts.c with Tokio.
//!
//! tokio::time::timeout polls what is inside first, and touches the timer only if that has to wait.
//! The channels are mpsc channels of capacity 1, in "soon" for want of a rendezvous.

use coir_bench_peers_tokio::Options;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{channel, Receiver};
use tokio::time::timeout;

async fn receive(from: &mut Receiver<u64>) -> u64 {
    timeout(Duration::from_secs(10), from.recv())
        .await
        .expect("no timeout is reached")
        .expect("the sender is there")
}

async fn ready(items: u64) -> u64 {
    let (to, mut from) = channel(1);
    let mut sum = 0;
    for i in 0..items {
        to.send(i + 1).await.expect("the receiver is there");
        sum += receive(&mut from).await;
    }
    sum
}

async fn soon(items: u64) -> u64 {
    let (to, mut from) = channel(1);
    let sender = tokio::spawn(async move {
        for i in 0..items {
            to.send(i + 1).await.expect("the receiver is there");
        }
    });
    let mut sum = 0;
    for _ in 0..items {
        sum += receive(&mut from).await;
    }
    sender.await.expect("the sender ends well");
    sum
}

fn measure<F>(o: &Options, scenario: &str, form: fn(u64) -> F)
where
    F: Future<Output = u64> + Send + 'static,
{
    let items = o.get("-n");
    o.runtime_with_io().block_on(async {
        let start = Instant::now();
        let sum = tokio::spawn(form(items)).await.expect("the task ends well");
        o.print_receives(scenario, start.elapsed().as_nanos() as f64, sum);
    });
}

fn main() {
    let o = Options::parse(&[("-n", 1_000_000)]);
    measure(&o, "timeout, ready", ready);
    measure(&o, "timeout, soon", soon);
}
