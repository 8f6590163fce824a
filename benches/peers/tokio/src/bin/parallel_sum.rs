// SPDX-License-Identifier: MIT

//! A sum over an array in uneven chunks, a task for each: benches/parallel_sum.c with Tokio.

use coir_bench_peers_tokio::{check, divide, sum_of, Options};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

async fn together(array: &Arc<[u32]>, chunks: &[Range<usize>]) -> u64 {
    let mut handles = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let (array, chunk) = (array.clone(), chunk.clone());
        handles.push(tokio::spawn(async move { sum_of(&array[chunk]) }));
    }
    let mut sum = 0u64;
    for handle in handles {
        sum = sum.wrapping_add(handle.await.expect("the task ends well"));
    }
    sum
}

fn main() {
    let o = Options::parse(&[("-n", 4_000_000), ("-t", 1000), ("-r", 30)]);
    let (elements, repeats) = (o.get("-n"), o.get("-r"));
    let array: Arc<[u32]> = (0..elements)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761))
        .collect();
    let chunks = divide(elements, o.get("-t"));
    let mut samples = Vec::new();
    let mut sum = 0u64;
    o.runtime().block_on(async {
        for _ in 0..repeats {
            let start = Instant::now();
            sum = sum.wrapping_add(together(&array, &chunks).await);
            samples.push(start.elapsed().as_nanos() as f64 / elements as f64);
        }
    });
    let wanted = chunks
        .into_iter()
        .fold(0u64, |sum, c| sum.wrapping_add(sum_of(&array[c])))
        .wrapping_mul(repeats);
    check(sum, wanted);
    o.print_median("tokio", "parallel sum", "ns per element", &mut samples, sum);
}
