// SPDX-License-Identifier: MIT

//! How long a task that waits takes to see what a plain thread sends: benches/wake_latency.c with
//! Tokio.
//!
//! "tokio" has its drivers for I/O and time, as with #[tokio::main]: a thread without work waits
//! for the kernel's events. "tokio without drivers" has neither, and waits for its condition variable
//! alone.

use coir_bench_peers_tokio::{check, Options};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::channel;

async fn latencies(messages: u64, pause: Duration) -> Vec<f64> {
    let (to, mut from) = channel(1);
    let thread = thread::spawn(move || {
        for _ in 0..messages {
            thread::sleep(pause);
            to.blocking_send(Instant::now())
                .expect("the receiver is there");
        }
    });
    let receiver = tokio::spawn(async move {
        let mut samples = Vec::with_capacity(messages as usize);
        while let Some(stamp) = from.recv().await {
            samples.push(stamp.elapsed().as_nanos() as f64);
        }
        samples
    });
    let samples = receiver.await.expect("the receiver ends well");
    thread.join().expect("the thread ends well");
    samples
}

fn measure(o: &Options, name: &str, runtime: Runtime) {
    let messages = o.get("-n");
    let pause = Duration::from_micros(o.get("-p"));
    let mut samples = runtime.block_on(latencies(messages, pause));
    check(samples.len() as u64, messages);
    o.print_wakes(name, &mut samples);
}

fn main() {
    let o = Options::parse(&[("-n", 1000), ("-p", 1000)]);
    measure(&o, "tokio", o.runtime_with_io());
    measure(&o, "tokio without drivers", o.runtime());
}
