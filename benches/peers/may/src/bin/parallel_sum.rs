// SPDX-License-Identifier: MIT

//! A sum over an array in uneven chunks, a coroutine for each: benches/parallel_sum.c with may.

use coir_bench_peers_may::{check, divide, sum_of, want_stacks, Options};
use may::coroutine::scope;
use std::time::Instant;

fn together(chunks: &[&[u32]]) -> u64 {
    let mut sums = vec![0; chunks.len()];
    scope(|s| {
        for (chunk, sum) in chunks.iter().zip(&mut sums) {
            may::go!(s, move || *sum = sum_of(chunk));
        }
    });
    sums.into_iter().fold(0u64, u64::wrapping_add)
}

fn main() {
    let o = Options::parse(&[("-n", 4_000_000), ("-t", 1000), ("-r", 30)]);
    let (elements, count, repeats) = (o.get("-n"), o.get("-t"), o.get("-r"));
    want_stacks(count);
    let (sum, wanted, mut samples) = o.run(move || {
        let array: Vec<u32> = (0..elements)
            .map(|i| (i as u32).wrapping_mul(2_654_435_761))
            .collect();
        let chunks: Vec<&[u32]> = divide(elements, count)
            .into_iter()
            .map(|c| &array[c])
            .collect();
        let (mut sum, mut samples) = (0u64, Vec::new());
        for _ in 0..repeats {
            let start = Instant::now();
            sum = sum.wrapping_add(together(&chunks));
            samples.push(start.elapsed().as_nanos() as f64 / elements as f64);
        }
        let wanted = chunks
            .iter()
            .fold(0u64, |sum, c| sum.wrapping_add(sum_of(c)));
        (sum, wanted.wrapping_mul(repeats), samples)
    });
    check(sum, wanted);
    o.print_median("may", "parallel sum", "ns per element", &mut samples, sum);
}
