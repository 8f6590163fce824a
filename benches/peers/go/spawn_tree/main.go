// SPDX-License-Identifier: MIT

// A binary tree of goroutines, each of which waits for two: benches/spawn_tree.c in Go.
package main

import (
	"flag"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func grow(depth int) uint64 {
	if depth == 0 {
		return 1
	}
	var left, right uint64
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		left = grow(depth - 1)
		wg.Done()
	}()
	go func() {
		right = grow(depth - 1)
		wg.Done()
	}()
	wg.Wait()
	return left + right + 1
}

func main() {
	depth := flag.Int("d", 16, "depth of the tree")
	repeats := flag.Int("r", 5, "repetitions after the first")
	result.Parse()

	tasks := uint64(2)<<*depth - 1
	samples := make([]float64, *repeats+1)
	for r := range samples {
		start := time.Now()
		done := make(chan uint64)
		go func() { done <- grow(*depth) }()
		result.Check(<-done, tasks)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(tasks)
	}
	result.PrintMedian("spawn tree, cold", "ns per task", samples[:1], tasks)
	result.PrintMedian("spawn tree", "ns per task", samples[1:], tasks*uint64(*repeats))
}
