// SPDX-License-Identifier: MIT

// Many goroutines that sleep for 10 ms: benches/sleepers.c in Go.
package main

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"coir/bench/peers/result"
)

func main() {
	tasks := flag.Int("n", 10000, "goroutines")
	milliseconds := flag.Int("m", 10, "milliseconds")
	repeats := flag.Int("r", 10, "repetitions after the first")
	result.Parse()

	sleep := time.Duration(*milliseconds) * time.Millisecond
	var rested uint64
	samples := make([]float64, *repeats+1)
	for r := range samples {
		var wg sync.WaitGroup
		start := time.Now()
		wg.Add(*tasks)
		for i := 0; i < *tasks; i++ {
			go func() {
				time.Sleep(sleep)
				atomic.AddUint64(&rested, 1)
				wg.Done()
			}()
		}
		wg.Wait()
		samples[r] = float64((time.Since(start) - sleep).Nanoseconds()) / float64(*tasks)
	}
	result.Check(rested, uint64(*tasks)*uint64(*repeats+1))
	scenario := fmt.Sprintf("sleepers, %d", *tasks)
	result.PrintMedian(scenario+", cold", "ns per task", samples[:1], uint64(*tasks))
	result.PrintMedian(scenario, "ns per task", samples[1:], uint64(*tasks)*uint64(*repeats))
}
