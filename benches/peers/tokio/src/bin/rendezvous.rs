// SPDX-License-Identifier: MIT

//! Two tasks, two channels, and a sender that waits: benches/pingpong.c with Tokio.
//!
//! Each message carries a oneshot channel on which the receiver acknowledges it; the sender waits
//! for that: what a rendezvous channel promises, made of what Tokio has (its tutorial answers
//! requests in this way).

use coir_bench_peers_tokio::{check, Options};
use std::time::Instant;
use tokio::sync::mpsc::{channel, Receiver, Sender};
use tokio::sync::oneshot;

struct Ball {
    number: u64,
    taken: oneshot::Sender<()>,
}

async fn send(to: &Sender<Ball>, number: u64) {
    let (taken, was_taken) = oneshot::channel();
    if to.send(Ball { number, taken }).await.is_err() {
        panic!("the other side is gone");
    }
    was_taken.await.expect("the other side takes it");
}

async fn receive(from: &mut Receiver<Ball>) -> u64 {
    let ball = from.recv().await.expect("the other side sends");
    ball.taken.send(()).expect("the sender waits");
    ball.number
}

async fn ping(there: Sender<Ball>, mut back: Receiver<Ball>, rounds: u64) -> u64 {
    let mut sum = 0;
    for i in 0..rounds {
        send(&there, i).await;
        sum += receive(&mut back).await;
    }
    sum
}

async fn pong(mut there: Receiver<Ball>, back: Sender<Ball>, rounds: u64) {
    for _ in 0..rounds {
        let ball = receive(&mut there).await;
        send(&back, ball + 1).await;
    }
}

async fn play(pairs: u64, rounds: u64) -> u64 {
    let mut pings = Vec::new();
    let mut pongs = Vec::new();
    for _ in 0..pairs {
        let (to_pong, from_ping) = channel(1);
        let (to_ping, from_pong) = channel(1);
        pings.push(tokio::spawn(ping(to_pong, from_pong, rounds)));
        pongs.push(tokio::spawn(pong(from_ping, to_ping, rounds)));
    }
    let mut sum = 0;
    for task in pings {
        sum += task.await.expect("ping ends well");
    }
    for task in pongs {
        task.await.expect("pong ends well");
    }
    sum
}

fn main() {
    let o = Options::parse(&[("-n", 1_000_000), ("-p", 1)]);
    let (rounds, pairs) = (o.get("-n"), o.get("-p"));
    let runtime = o.runtime();
    let start = Instant::now();
    let sum = runtime.block_on(play(pairs, rounds));
    let ns = start.elapsed().as_nanos() as f64;

    check(sum, pairs * (rounds * (rounds + 1) / 2));
    let total = (rounds * pairs) as f64;
    println!("Total rounds: {total:.0}");
    println!("Total time: {:.2} ms", ns / 1e6);
    println!("Time per round: {:.1} ns", ns / total);
    println!("Messages/sec: {:.0}", 2.0 * total * 1e9 / ns);
    println!("Rounds/sec: {:.0}", total * 1e9 / ns);
    let pairs = if pairs > 1 {
        format!(", {pairs} pairs")
    } else {
        String::new()
    };
    o.print_as(
        "tokio oneshot",
        &format!("pingpong{pairs}"),
        "ns per round",
        ns / total,
        sum,
    );
}
