// SPDX-License-Identifier: MIT

// 10,000 goroutines that wait for a channel or the end of their context: benches/cancel.c in Go.
package main

import (
	"context"
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"coir/bench/peers/result"
)

func repetition(tasks int, never chan struct{}, cancelled *uint64) time.Duration {
	ctx, cancel := context.WithCancel(context.Background())
	var arrived int64
	var wg sync.WaitGroup
	wg.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			defer wg.Done()
			atomic.AddInt64(&arrived, 1)
			select {
			case <-never:
			case <-ctx.Done():
				atomic.AddUint64(cancelled, 1)
			}
		}()
	}
	for atomic.LoadInt64(&arrived) < int64(tasks) {
		runtime.Gosched()
	}
	start := time.Now()
	cancel()
	wg.Wait()
	return time.Since(start)
}

func main() {
	tasks := flag.Int("n", 10000, "goroutines")
	repeats := flag.Int("r", 20, "repetitions")
	result.Parse()

	never := make(chan struct{})
	samples := make([]float64, *repeats)
	var cancelled uint64
	for r := range samples {
		elapsed := repetition(*tasks, never, &cancelled)
		samples[r] = float64(elapsed.Nanoseconds()) / float64(*tasks)
	}
	result.Check(cancelled, uint64(*tasks)*uint64(*repeats))
	result.PrintMedian("cancel", "ns per task", samples, cancelled)
}
