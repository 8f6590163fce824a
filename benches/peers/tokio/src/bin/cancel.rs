// SPDX-License-Identifier: MIT

//! 10,000 tasks that wait are cancelled, and awaited: benches/cancel.c with Tokio.
//!
//! "tokio" aborts a JoinSet, whose tasks are dropped where they wait and can do no more; "tokio
//! CancellationToken" is the way of tokio-util, in which each task sees the cancellation and ends
//! by itself, as in coir and in Go. They wait for a Notify, for want of a channel with many
//! receivers.

use coir_bench_peers_tokio::{check, Options};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Place {
    never: Notify,
    arrived: AtomicU64,
    cancelled: AtomicU64,
}

async fn all_arrive(place: &Place, tasks: u64) {
    while place.arrived.load(Relaxed) < tasks {
        tokio::task::yield_now().await;
    }
}

async fn abort(tasks: u64, cancelled: &mut u64) -> Duration {
    let place = Arc::new(Place::default());
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        let place = place.clone();
        set.spawn(async move {
            place.arrived.fetch_add(1, Relaxed);
            place.never.notified().await;
        });
    }
    all_arrive(&place, tasks).await;
    let start = Instant::now();
    set.abort_all();
    while let Some(result) = set.join_next().await {
        *cancelled += u64::from(result.is_err_and(|e| e.is_cancelled()));
    }
    start.elapsed()
}

async fn by_token(tasks: u64, cancelled: &mut u64) -> Duration {
    let place = Arc::new(Place::default());
    let token = CancellationToken::new();
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        let (place, token) = (place.clone(), token.clone());
        set.spawn(async move {
            place.arrived.fetch_add(1, Relaxed);
            tokio::select! {
                _ = place.never.notified() => {}
                _ = token.cancelled() => {
                    place.cancelled.fetch_add(1, Relaxed);
                }
            }
        });
    }
    all_arrive(&place, tasks).await;
    let start = Instant::now();
    token.cancel();
    while let Some(result) = set.join_next().await {
        result.expect("the task ends well");
    }
    let elapsed = start.elapsed();
    *cancelled += place.cancelled.load(Relaxed);
    elapsed
}

fn measure(o: &Options, name: &str, form: impl AsyncFn(u64, &mut u64) -> Duration) {
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    let mut samples = Vec::new();
    let mut cancelled = 0;
    o.runtime().block_on(async {
        for _ in 0..repeats {
            let elapsed = form(tasks, &mut cancelled).await;
            samples.push(elapsed.as_nanos() as f64 / tasks as f64);
        }
    });
    check(cancelled, tasks * repeats);
    o.print_median(name, "cancel", "ns per task", &mut samples, cancelled);
}

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-r", 20)]);
    measure(&o, "tokio", abort);
    measure(&o, "tokio CancellationToken", by_token);
}
