// SPDX-License-Identifier: MIT

// 1,000 goroutines send 100,000 items to one over one channel: benches/fanin.c in Go.
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"

	"coir/bench/peers/result"
	"coir/bench/peers/work"
)

func transfer(channel chan uint64, senders, items, steps uint64) uint64 {
	received := make(chan uint64)
	go func() {
		var sum uint64
		for item := range channel {
			sum += item
		}
		received <- sum
	}()
	var wg sync.WaitGroup
	for s := uint64(0); s < senders; s++ {
		begin, end := s*items/senders, (s+1)*items/senders
		wg.Add(1)
		go func() {
			for i := begin; i < end; i++ {
				channel <- work.Hash(i+1, steps)
			}
			wg.Done()
		}()
	}
	wg.Wait()
	close(channel)
	return <-received
}

func main() {
	senders := flag.Uint64("t", 1000, "sending goroutines")
	items := flag.Uint64("n", 100000, "items in all")
	capacity := flag.Int("b", 0, "capacity of the channel")
	steps := flag.Uint64("x", 0, "steps of work per item")
	repeats := flag.Int("r", 36, "repetitions")
	result.Parse()

	samples := make([]float64, *repeats)
	var sum uint64
	for r := range samples {
		channel := make(chan uint64, *capacity)
		start := time.Now()
		sum += transfer(channel, *senders, *items, *steps)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(*items)
	}
	var wanted uint64
	for i := uint64(0); i < *items; i++ {
		wanted += uint64(*repeats) * work.Hash(i+1, *steps)
	}
	result.Check(sum, wanted)
	scenario := "fanin"
	if *capacity > 0 {
		scenario += fmt.Sprintf(", capacity %d", *capacity)
	}
	if *steps > 0 {
		scenario += ", work"
	}
	result.PrintMedian(scenario, "ns per item", samples, sum)
}
