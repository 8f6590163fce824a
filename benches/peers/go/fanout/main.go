// SPDX-License-Identifier: MIT

// One goroutine sends 100,000 items to 1,000 over one channel: benches/fanout.c in Go.
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"

	"coir/bench/peers/result"
	"coir/bench/peers/work"
)

func transfer(channel chan uint64, cells []uint64, items, steps uint64) {
	var wg sync.WaitGroup
	for c := range cells {
		cell := &cells[c]
		wg.Add(1)
		go func() {
			var sum uint64
			for item := range channel {
				sum += work.Hash(item, steps)
			}
			*cell += sum
			wg.Done()
		}()
	}
	wg.Add(1)
	go func() {
		for i := uint64(0); i < items; i++ {
			channel <- i + 1
		}
		close(channel)
		wg.Done()
	}()
	wg.Wait()
}

func main() {
	receivers := flag.Int("t", 1000, "receiving goroutines")
	items := flag.Uint64("n", 100000, "items in all")
	capacity := flag.Int("b", 0, "capacity of the channel")
	steps := flag.Uint64("x", 0, "steps of work per item")
	repeats := flag.Int("r", 36, "repetitions")
	result.Parse()

	cells := make([]uint64, *receivers)
	samples := make([]float64, *repeats)
	for r := range samples {
		channel := make(chan uint64, *capacity)
		start := time.Now()
		transfer(channel, cells, *items, *steps)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(*items)
	}
	var sum uint64
	for _, c := range cells {
		sum += c
	}
	var wanted uint64
	for i := uint64(0); i < *items; i++ {
		wanted += uint64(*repeats) * work.Hash(i+1, *steps)
	}
	result.Check(sum, wanted)
	scenario := "fanout"
	if *capacity > 0 {
		scenario += fmt.Sprintf(", capacity %d", *capacity)
	}
	if *steps > 0 {
		scenario += ", work"
	}
	result.PrintMedian(scenario, "ns per item", samples, sum)
}
