// SPDX-License-Identifier: MIT

// A sum over an array in uneven chunks, a goroutine for each: benches/parallel_sum.c in Go.
package main

import (
	"flag"
	"math/bits"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func sumOf(elements []uint32) (sum uint64) {
	for _, e := range elements {
		sum = (sum ^ uint64(e)) * 0xd6e8feb86659fd93
	}
	return sum
}

func weight(i uint64) uint64 {
	x := (i + 1) * 0x9e3779b97f4a7c15
	return 1 << bits.TrailingZeros64(x>>40|64)
}

func divide(elements, count uint64) [][]uint32 {
	array := make([]uint32, elements)
	for i := range array {
		array[i] = uint32(i) * 2654435761
	}
	var total, before uint64
	for i := uint64(0); i < count; i++ {
		total += weight(i)
	}
	chunks := make([][]uint32, count)
	for i := range chunks {
		after := before + weight(uint64(i))
		chunks[i] = array[elements*before/total : elements*after/total]
		before = after
	}
	return chunks
}

func together(chunks [][]uint32, sums []uint64) (sum uint64) {
	var wg sync.WaitGroup
	wg.Add(len(chunks))
	for i := range chunks {
		go func() {
			sums[i] = sumOf(chunks[i])
			wg.Done()
		}()
	}
	wg.Wait()
	for _, s := range sums {
		sum += s
	}
	return sum
}

func main() {
	elements := flag.Uint64("n", 4000000, "elements")
	count := flag.Uint64("t", 1000, "chunks, and goroutines")
	repeats := flag.Int("r", 30, "repetitions")
	result.Parse()

	chunks := divide(*elements, *count)
	sums := make([]uint64, *count)
	samples := make([]float64, *repeats)
	var sum, wanted uint64
	for r := range samples {
		start := time.Now()
		sum += together(chunks, sums)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(*elements)
	}
	for _, c := range chunks {
		wanted += uint64(*repeats) * sumOf(c)
	}
	result.Check(sum, wanted)
	result.PrintMedian("parallel sum", "ns per element", samples, sum)
}
