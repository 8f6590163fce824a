// SPDX-License-Identifier: MIT

// 10,000 goroutines that end at once, and a WaitGroup that waits for them: benches/spawn.c in Go.
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func spawnAndWait(cells []uint32) {
	var wg sync.WaitGroup
	wg.Add(len(cells))
	for i := range cells {
		cell := &cells[i]
		go func() {
			*cell++
			wg.Done()
		}()
	}
	wg.Wait()
}

func main() {
	tasks := flag.Int("n", 10000, "goroutines")
	repeats := flag.Int("r", 200, "repetitions")
	result.Parse()

	cells := make([]uint32, *tasks)
	samples := make([]float64, *repeats)
	for r := range samples {
		start := time.Now()
		spawnAndWait(cells)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(*tasks)
	}
	var count uint64
	for _, c := range cells {
		count += uint64(c)
	}
	result.Check(count, uint64(*tasks)*uint64(*repeats))
	median := result.Median(samples)
	fmt.Printf("%-16s %d goroutines: %.1f ns each (median of %d, %.1f to %.1f)\n",
		"spawn, group end", *tasks, median, *repeats, samples[0], samples[len(samples)-1])
	scenario := "spawn, group end"
	if *tasks != 10000 {
		scenario += fmt.Sprintf(", %d tasks", *tasks)
	}
	result.Print(scenario, "ns per task", median, count)
}
