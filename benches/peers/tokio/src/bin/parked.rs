// SPDX-License-Identifier: MIT

//! Many tasks that all wait for one notification: benches/parked.c with Tokio's Notify.

use coir_bench_peers_tokio::{check, Options};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::yield_now;

/// What this process occupies: resident pages and page tables, in bytes.
fn memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let wanted = |l: &&str| l.starts_with("VmRSS:") || l.starts_with("VmPTE:");
    let kib = |l: &str| l.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
    status.lines().filter(wanted).filter_map(kib).sum::<f64>() * 1024.0
}

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
    let report = |what: &str, unit: &str, all: f64| {
        let (scenario, value) = (format!("{what}, {tasks} tasks"), all / tasks as f64);
        println!("{scenario}: {value:.0} {unit}");
        o.print(&scenario, unit, value, tasks);
    };
    let runtime = o.runtime();
    let ran = |rounds: &str| {
        let (park, wake, grown) = runtime.block_on(async {
            tokio::spawn(round(tasks)).await.expect("the round ends well")
        });
        report(&format!("parked {rounds}"), "ns per task", park);
        report(&format!("wake {rounds}"), "ns per task", wake);
        grown
    };
    let grown = ran("cold");
    report("parked memory", "bytes per task", grown);
    ran("warm");
}
