// SPDX-License-Identifier: MIT

//! Receives under a timeout of 10 s that is never reached: benches/timeouts.c with may.
//!
//! The channels are unbounded. So in "soon" the sender has sent everything before the receiver runs,
//! unless it runs elsewhere: there it gives way after each item.

use coir_bench_peers_may::Options;
use may::coroutine::yield_now;
use may::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

fn receive(from: &Receiver<u64>) -> u64 {
    from.recv_timeout(Duration::from_secs(10))
        .expect("no timeout is reached")
}

fn ready(items: u64) -> u64 {
    let (to, from) = channel();
    let mut sum = 0;
    for i in 0..items {
        to.send(i + 1).expect("the receiver is there");
        sum += receive(&from);
    }
    sum
}

fn soon(items: u64) -> u64 {
    let (to, from) = channel();
    let sender = may::go!(move || {
        for i in 0..items {
            to.send(i + 1).expect("the receiver is there");
            yield_now();
        }
    });
    let sum = (0..items).map(|_| receive(&from)).sum();
    sender.join().expect("the sender ends well");
    sum
}

fn measure(o: &Options, scenario: &str, form: fn(u64) -> u64) {
    let items = o.get("-n");
    let (sum, elapsed) = o.run(move || {
        let start = Instant::now();
        let sum = form(items);
        (sum, start.elapsed().as_nanos() as f64)
    });
    o.print_receives(scenario, elapsed, sum);
}

fn main() {
    let o = Options::parse(&[("-n", 1_000_000)]);
    measure(&o, "timeout, ready", ready);
    measure(&o, "timeout, soon", soon);
}
