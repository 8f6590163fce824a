// SPDX-License-Identifier: MIT

//! Two tasks, two channels: benches/pingpong.c with Tokio.
//!
//! Tokio has no rendezvous channel: the least capacity of an mpsc channel is 1, where a send never
//! waits for the receiver. So the result is given under both names, to stand beside the channels of
//! capacity 1 of the others and, for want of better, beside their rendezvous channels. The program
//! `rendezvous` makes the sender wait.

use coir_bench_peers_tokio::{check, Options};
use std::time::Instant;
use tokio::sync::mpsc::{channel, Receiver, Sender};

async fn ping(there: Sender<u64>, mut back: Receiver<u64>, rounds: u64) -> u64 {
    let mut sum = 0;
    for i in 0..rounds {
        there.send(i).await.expect("pong is there");
        sum += back.recv().await.expect("pong answers");
    }
    sum
}

async fn pong(mut there: Receiver<u64>, back: Sender<u64>, rounds: u64) {
    for _ in 0..rounds {
        let ball = there.recv().await.expect("ping is there");
        back.send(ball + 1).await.expect("ping listens");
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
    for name in ["pingpong", "pingpong, capacity 1"] {
        o.print(&format!("{name}{pairs}"), "ns per round", ns / total, sum);
    }
}
