// SPDX-License-Identifier: MIT

// Goroutines in a row: benches/task_chain.c in Go.
package main

import (
	"flag"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func spawnNext(after int) uint64 {
	if after == 0 {
		return 1
	}
	var next uint64
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		next = spawnNext(after - 1)
		wg.Done()
	}()
	wg.Wait()
	return next + 1
}

func chainBySpawn(tasks int) uint64 {
	return spawnNext(tasks) - 1 // this goroutine is not counted
}

func chainByChannels(channels []chan uint64) uint64 {
	var wg sync.WaitGroup
	last := len(channels) - 1
	wg.Add(last)
	for i := 0; i < last; i++ {
		left, right := channels[i], channels[i+1]
		go func() {
			right <- 1 + <-left
			wg.Done()
		}()
	}
	channels[0] <- 0
	count := <-channels[last]
	wg.Wait()
	return count
}

func measure(scenario string, tasks, repeats int, form func() uint64) {
	samples := make([]float64, repeats)
	var sum uint64
	for r := range samples {
		start := time.Now()
		sum += form()
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(tasks)
	}
	result.Check(sum, uint64(tasks)*uint64(repeats))
	result.PrintMedian(scenario, "ns per task", samples, sum)
}

func main() {
	tasks := flag.Int("n", 10000, "goroutines")
	repeats := flag.Int("r", 30, "repetitions")
	result.Parse()

	measure("task chain, spawn and wait", *tasks, *repeats,
		func() uint64 { return chainBySpawn(*tasks) })
	channels := make([]chan uint64, *tasks+1)
	for i := range channels {
		channels[i] = make(chan uint64)
	}
	measure("task chain, channels", *tasks, *repeats,
		func() uint64 { return chainByChannels(channels) })
}
