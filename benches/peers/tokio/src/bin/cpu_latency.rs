// SPDX-License-Identifier: MIT

//! How late a task is that wants to run every millisecond, beside others that compute:
//! benches/cpu_latency.c with Tokio.
//!
//! "yielding" awaits yield_now() after each portion, as Tokio's documentation has it for what
//! computes in a task. The ticks are those of an interval, which catches up on missed ones by
//! default. Its timers have a resolution of 1 ms and fire late rather than early.

use coir_bench_peers_tokio::{hash, Options, MICROSECOND, PORTION};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{interval_at, Instant};

struct Work {
    portions: u64,
    yielding: bool,
    start: Instant,
    computing: AtomicU64,
    over: AtomicU64, // ns after the start; 0: not yet
}

async fn compute(w: Arc<Work>) -> u64 {
    let mut x = 1;
    for _ in 0..w.portions {
        x = hash(x, PORTION * MICROSECOND);
        if w.yielding {
            tokio::task::yield_now().await;
        }
    }
    if w.computing.fetch_sub(1, SeqCst) == 1 {
        w.over.store(w.start.elapsed().as_nanos() as u64, SeqCst);
    }
    x
}

async fn tick(w: Arc<Work>) -> Vec<f64> {
    let mut samples = Vec::with_capacity(1_000_000);
    let period = Duration::from_millis(1);
    let mut ticks = interval_at(w.start + period, period);
    loop {
        let due = ticks.tick().await;
        let over = w.over.load(SeqCst);
        if over > 0 && (due - w.start).as_nanos() >= u128::from(over) {
            return samples;
        }
        samples.push(due.elapsed().as_nanos() as f64);
    }
}

async fn together(o: &Options, yielding: bool) -> (Arc<Work>, Vec<f64>, u64) {
    let threads = o.threads() as u64;
    let work = Arc::new(Work {
        portions: o.get("-n"),
        yielding,
        start: Instant::now(),
        computing: AtomicU64::new(threads),
        over: AtomicU64::new(0),
    });
    let ticking = tokio::spawn(tick(work.clone()));
    let computing: Vec<_> = (0..threads)
        .map(|_| tokio::spawn(compute(work.clone())))
        .collect();
    let mut sum = 0u64;
    for handle in computing {
        sum = sum.wrapping_add(handle.await.expect("the task ends well"));
    }
    (work, ticking.await.expect("the task ends well"), sum)
}

fn measure(o: &Options, yielding: bool, form: &str) {
    let (work, mut samples, sum) = o.runtime_with_io().block_on(together(o, yielding));
    let span = work.over.load(SeqCst) as f64;
    o.print_ticks(form, &mut samples, span, sum);
}

fn main() {
    let o = Options::parse(&[("-n", 25_000)]);
    measure(&o, true, "yielding");
    measure(&o, false, "not yielding");
}
