// SPDX-License-Identifier: MIT

// One goroutine sends 100,000 items to 1,000 over one channel: benches/fanout.c in Go.
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func transfer(channel chan uint64, cells []uint64, items uint64) {
	var wg sync.WaitGroup
	for c := range cells {
		cell := &cells[c]
		wg.Add(1)
		go func() {
			var sum uint64
			for item := range channel {
				sum += item
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
	repeats := flag.Int("r", 36, "repetitions")
	result.Parse()

	cells := make([]uint64, *receivers)
	samples := make([]float64, *repeats)
	for r := range samples {
		channel := make(chan uint64, *capacity)
		start := time.Now()
		transfer(channel, cells, *items)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(*items)
	}
	var sum uint64
	for _, c := range cells {
		sum += c
	}
	result.Check(sum, uint64(*repeats)*(*items*(*items+1)/2))
	scenario := "fanout"
	if *capacity > 0 {
		scenario += fmt.Sprintf(", capacity %d", *capacity)
	}
	result.PrintMedian(scenario, "ns per item", samples, sum)
}
