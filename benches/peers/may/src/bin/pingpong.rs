// SPDX-License-Identifier: MIT

//! Two coroutines, two channels: benches/pingpong.c with may.
//!
//! may's channels are unbounded, so a send never waits; the figure stands beside both the rendezvous
//! and the capacity 1 of the others. Each channel has one sender and one receiver: spsc.

use coir_bench_peers_may::{check, Options};
use may::sync::spsc::{channel, Receiver, Sender};
use std::time::Instant;

fn ping(there: Sender<u64>, back: Receiver<u64>, rounds: u64) -> u64 {
    let mut sum = 0;
    for i in 0..rounds {
        there.send(i).expect("pong is there");
        sum += back.recv().expect("pong answers");
    }
    sum
}

fn pong(there: Receiver<u64>, back: Sender<u64>, rounds: u64) {
    for _ in 0..rounds {
        let ball = there.recv().expect("ping is there");
        back.send(ball + 1).expect("ping waits");
    }
}

fn play(pairs: u64, rounds: u64) -> u64 {
    let mut pings = Vec::new();
    let mut pongs = Vec::new();
    for _ in 0..pairs {
        let (there_tx, there_rx) = channel();
        let (back_tx, back_rx) = channel();
        pings.push(may::go!(move || ping(there_tx, back_rx, rounds)));
        pongs.push(may::go!(move || pong(there_rx, back_tx, rounds)));
    }
    for p in pongs {
        p.join().expect("pong ends well");
    }
    pings.into_iter().map(|p| p.join().expect("ping ends well")).sum()
}

fn main() {
    let o = Options::parse(&[("-n", 1_000_000), ("-p", 1)]);
    let (rounds, pairs) = (o.get("-n"), o.get("-p"));
    let (sum, ns) = o.run(move || {
        let start = Instant::now();
        let sum = play(pairs, rounds);
        (sum, start.elapsed().as_nanos() as f64)
    });
    check(sum, pairs * (rounds * (rounds + 1) / 2));
    let ns = ns / (rounds * pairs) as f64;
    println!("Time per round: {ns:.1} ns");
    let many = match pairs {
        1 => String::new(),
        n => format!(", {n} pairs"),
    };
    for name in ["pingpong", "pingpong, capacity 1"] {
        o.print(&format!("{name}{many}"), "ns per round", ns, sum);
    }
}
