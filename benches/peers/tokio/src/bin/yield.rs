// SPDX-License-Identifier: MIT

//! Two tasks that only call `tokio::task::yield_now`: benches/yield.c with Tokio.

use coir_bench_peers_tokio::{check, Options};
use std::time::Instant;

async fn give_way(yields: u64) -> u64 {
    let mut count = 0;
    while count < yields {
        tokio::task::yield_now().await;
        count += 1;
    }
    count
}

fn main() {
    let o = Options::parse(&[("-n", 5_000_000)]);
    let yields = o.get("-n");
    let runtime = o.runtime();
    let start = Instant::now();
    let count = runtime.block_on(async {
        let tasks = [
            tokio::spawn(give_way(yields)),
            tokio::spawn(give_way(yields)),
        ];
        let mut count = 0;
        for task in tasks {
            count += task.await.expect("the task ends well");
        }
        count
    });
    let elapsed = start.elapsed().as_nanos() as f64;

    check(count, 2 * yields);
    let ns = elapsed / count as f64;
    println!("{count} yields: {:.1} ms, {ns:.2} ns each", elapsed / 1e6);
    o.print("yield", "ns per yield", ns, count);
}
