// SPDX-License-Identifier: MIT

//! Two tasks that take turns: benches/cond.c with Tokio.
//!
//! Tokio has no condition variable. What it has is `Notify`, which keeps a permit for whoever comes
//! to wait after the notification; each player has one of its own. The number of turns is behind
//! tokio::sync::Mutex ("tokio"), or behind std::sync::Mutex ("tokio std"), as in the example of
//! `Notify`'s documentation.

use coir_bench_peers_tokio::{check, Options};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, Notify};

#[derive(Default)]
struct Table {
    turns: Mutex<u64>,
    on: [Notify; 2],
}

#[derive(Default)]
struct StdTable {
    turns: std::sync::Mutex<u64>,
    on: [Notify; 2],
}

impl Table {
    async fn try_turn(&self, number: u64) -> bool {
        let mut turns = self.turns.lock().await;
        let mine = *turns % 2 == number;
        *turns += u64::from(mine);
        mine
    }
}

impl StdTable {
    fn try_turn(&self, number: u64) -> bool {
        let mut turns = self.turns.lock().expect("nobody panics");
        let mine = *turns % 2 == number;
        *turns += u64::from(mine);
        mine
    }
}

async fn play(table: Arc<Table>, number: u64, rounds: u64) {
    for _ in 0..rounds {
        while !table.try_turn(number).await {
            table.on[number as usize].notified().await;
        }
        table.on[1 - number as usize].notify_one();
    }
}

async fn play_std(table: Arc<StdTable>, number: u64, rounds: u64) {
    for _ in 0..rounds {
        while !table.try_turn(number) {
            table.on[number as usize].notified().await;
        }
        table.on[1 - number as usize].notify_one();
    }
}

/// Lets both play; returns the time taken.
fn measure<T, F: Future<Output = ()> + Send + 'static>(
    o: &Options,
    table: &Arc<T>,
    play: fn(Arc<T>, u64, u64) -> F,
) -> f64 {
    let rounds = o.get("-n");
    o.runtime().block_on(async {
        let start = Instant::now();
        let players = [0, 1].map(|number| tokio::spawn(play(table.clone(), number, rounds)));
        for player in players {
            player.await.expect("the player ends well");
        }
        start.elapsed().as_nanos() as f64
    })
}

fn report(o: &Options, name: &str, elapsed: f64, turns: u64) {
    let rounds = o.get("-n");
    check(turns, 2 * rounds);
    let ns = elapsed / rounds as f64;
    println!(
        "{rounds} rounds: {:.1} ms, {ns:.1} ns each, {name}",
        elapsed / 1e6
    );
    o.print_as(name, "cond", "ns per round", ns, turns);
}

fn main() {
    let o = Options::parse(&[("-n", 1_000_000)]);

    let table = Arc::new(Table::default());
    let elapsed = measure(&o, &table, play);
    report(&o, "tokio", elapsed, *table.turns.blocking_lock());

    let table = Arc::new(StdTable::default());
    let elapsed = measure(&o, &table, play_std);
    let turns = *table.turns.lock().expect("nobody panics");
    report(&o, "tokio std", elapsed, turns);
}
