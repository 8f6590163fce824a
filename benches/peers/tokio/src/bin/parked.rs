// SPDX-License-Identifier: MIT

//! Many tasks that all wait for one notification: benches/parked.c with Tokio's Notify.

use coir_bench_peers_tokio::{check, memory, Options};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::yield_now;

#[derive(Default)]
struct Gate {
    open: Notify,
    arrived: AtomicU64,
}

async fn wait_inside(gate: Arc<Gate>) {
    let opened = gate.open.notified(); // from here on it hears notify_waiters()
    gate.arrived.fetch_add(1, Relaxed);
    opened.await;
}

/// ns until all wait, ns to wake and end all, and the growth in bytes.
async fn round(tasks: u64) -> (f64, f64, f64) {
    let gate = Arc::new(Gate::default());
    let mut handles = Vec::with_capacity(tasks as usize);
    let before = memory();
    let start = Instant::now();
    for _ in 0..tasks {
        handles.push(tokio::spawn(wait_inside(gate.clone())));
    }
    while gate.arrived.load(Relaxed) < tasks {
        yield_now().await;
    }
    let park = start.elapsed().as_nanos() as f64;
    let grown = memory() - before;
    let start = Instant::now();
    gate.open.notify_waiters();
    for handle in handles {
        handle.await.expect("the task ends well");
    }
    let wake = start.elapsed().as_nanos() as f64;
    check(gate.arrived.load(Relaxed), tasks);
    (park, wake, grown)
}

fn main() {
    let o = Options::parse(&[("-n", 100_000)]);
    let tasks = o.get("-n");
    let runtime = o.runtime();
    let ran = |rounds: &str| {
        let (park, wake, grown) = runtime.block_on(async {
            tokio::spawn(round(tasks))
                .await
                .expect("the round ends well")
        });
        o.print_parked(&format!("parked {rounds}"), "ns per task", park);
        o.print_parked(&format!("wake {rounds}"), "ns per task", wake);
        grown
    };
    let grown = ran("cold");
    o.print_parked("parked memory", "bytes per task", grown);
    ran("warm");
}
