// SPDX-License-Identifier: MIT

//! How late a coroutine is that wants to run every millisecond, beside others that compute:
//! benches/cpu_latency.c with may.
//!
//! "Yielding" calls yield_now() after each portion. Nothing interrupts what does not.

use coir_bench_peers_may::{hash, Options, MICROSECOND, PORTION};
use may::coroutine::{scope, sleep, yield_now};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Mutex;
use std::time::{Duration, Instant};

struct Work {
    portions: u64,
    yielding: bool,
    start: Instant,
    computing: AtomicU64,
    sum: AtomicU64,
    over: AtomicU64, // ns after the start; 0: not yet
}

fn compute(w: &Work) {
    let mut x = 1;
    for _ in 0..w.portions {
        x = hash(x, PORTION * MICROSECOND);
        if w.yielding {
            yield_now();
        }
    }
    w.sum.fetch_add(x, SeqCst);
    if w.computing.fetch_sub(1, SeqCst) == 1 {
        w.over.store(w.start.elapsed().as_nanos() as u64, SeqCst);
    }
}

fn tick(w: &Work) -> Vec<f64> {
    let mut samples = Vec::with_capacity(1_000_000);
    let period = Duration::from_millis(1);
    let mut due = period;
    loop {
        let left = due.saturating_sub(w.start.elapsed());
        if !left.is_zero() {
            sleep(left);
        }
        let over = w.over.load(SeqCst);
        if over > 0 && due.as_nanos() >= u128::from(over) {
            return samples;
        }
        samples.push(w.start.elapsed().as_nanos() as f64 - due.as_nanos() as f64);
        due += period;
    }
}

fn together(threads: u64, portions: u64, yielding: bool) -> (Vec<f64>, f64, u64) {
    let work = Work {
        portions,
        yielding,
        start: Instant::now(),
        computing: AtomicU64::new(threads),
        sum: AtomicU64::new(0),
        over: AtomicU64::new(0),
    };
    let samples = Mutex::new(Vec::new()); // of one coroutine, which nobody disputes
    scope(|s| {
        may::go!(s, || *samples.lock().unwrap() = tick(&work));
        for _ in 0..threads {
            may::go!(s, || compute(&work));
        }
    });
    let span = work.over.into_inner() as f64;
    (samples.into_inner().unwrap(), span, work.sum.into_inner())
}

fn measure(o: &Options, yielding: bool, form: &str) {
    let (threads, portions) = (o.threads() as u64, o.get("-n"));
    let (mut samples, span, sum) = o.run(move || together(threads, portions, yielding));
    o.print_ticks(form, &mut samples, span, sum);
}

fn main() {
    let o = Options::parse(&[("-n", 25_000)]);
    measure(&o, true, "yielding");
    measure(&o, false, "not yielding");
}
