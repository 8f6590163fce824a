// SPDX-License-Identifier: MIT

//! How long a coroutine that waits takes to see what a plain thread sends:
//! benches/wake_latency.c with may.

use coir_bench_peers_may::{check, Options};
use may::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let o = Options::parse(&[("-n", 1000), ("-p", 1000)]);
    let messages = o.get("-n");
    let pause = Duration::from_micros(o.get("-p"));
    let mut samples = o.run(move || {
        let (to, from) = channel();
        let thread = thread::spawn(move || {
            for _ in 0..messages {
                thread::sleep(pause);
                to.send(Instant::now()).expect("the receiver is there");
            }
        });
        let samples: Vec<f64> = from
            .iter()
            .map(|stamp: Instant| stamp.elapsed().as_nanos() as f64)
            .collect();
        thread.join().expect("the thread ends well");
        samples
    });
    check(samples.len() as u64, messages);
    o.print_wakes("may", &mut samples);
}
