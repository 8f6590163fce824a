// SPDX-License-Identifier: MIT

//! 10,000 coroutines that end at once: benches/spawn.c with may. A scope stands beside the end of a
//! group, handles beside a join each.

use coir_bench_peers_may::{check, tasks_row, want_stacks, Options};
use may::coroutine::scope;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;

type Cells = Arc<[AtomicU32]>;

fn touch(cell: &AtomicU32) {
    cell.store(cell.load(Relaxed) + 1, Relaxed);
}

fn spawn_and_end(cells: &Cells) {
    scope(|s| {
        for cell in cells.iter() {
            may::go!(s, move || touch(cell));
        }
    });
}

fn spawn_and_join(cells: &Cells) {
    let mut handles = Vec::with_capacity(cells.len());
    for i in 0..cells.len() {
        let cells = cells.clone();
        handles.push(may::go!(move || touch(&cells[i])));
    }
    for handle in handles {
        handle.join().expect("the coroutine ends well");
    }
}

fn measure(o: &Options, scenario: &str, way: fn(&Cells)) {
    let (tasks, repeats) = (o.get("-n"), o.get("-r"));
    let (mut samples, count) = o.run(move || {
        let cells: Cells = (0..tasks).map(|_| AtomicU32::new(0)).collect();
        let mut samples = Vec::new();
        for _ in 0..repeats {
            let start = Instant::now();
            way(&cells);
            samples.push(start.elapsed().as_nanos() as f64 / tasks as f64);
        }
        (
            samples,
            cells.iter().map(|c| u64::from(c.load(Relaxed))).sum(),
        )
    });
    check(count, tasks * repeats);
    o.print_median(
        "may",
        &tasks_row(scenario, tasks),
        "ns per task",
        &mut samples,
        count,
    );
}

fn main() {
    let o = Options::parse(&[("-n", 10_000), ("-r", 20)]);
    want_stacks(o.get("-n"));
    measure(&o, "spawn, group end", spawn_and_end);
    measure(&o, "spawn, join each", spawn_and_join);
}
