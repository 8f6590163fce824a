// SPDX-License-Identifier: MIT

//! 10,000 tasks that end at once, and a join handle for each: benches/spawn.c with Tokio.
//!
//! Keeping the handles and awaiting each is Tokio's ordinary way. It is compared with both ways
//! of coir.

use coir_bench_peers_tokio::{check, tasks_row, Options};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;

async fn spawn_and_join(cells: &Arc<[AtomicU32]>) {
    let mut handles = Vec::with_capacity(cells.len());
    for i in 0..cells.len() {
        let cells = cells.clone();
        handles.push(tokio::spawn(async move {
            cells[i].store(cells[i].load(Relaxed) + 1, Relaxed);
        }));
    }
    for handle in handles {
        handle.await.expect("the task ends well");
    }
}

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-r", 200)]);
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    let cells: Arc<[AtomicU32]> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
    let runtime = o.runtime();
    let mut samples = Vec::new();
    runtime.block_on(async {
        for _ in 0..repeats {
            let start = Instant::now();
            spawn_and_join(&cells).await;
            samples.push(start.elapsed().as_nanos() as f64 / tasks as f64);
        }
    });

    let count = cells.iter().map(|c| u64::from(c.load(Relaxed))).sum();
    check(count, tasks * repeats);
    for name in ["spawn, group end", "spawn, join each"] {
        let scenario = tasks_row(name, tasks);
        o.print_median("tokio", &scenario, "ns per task", &mut samples, count);
    }
}
