// SPDX-License-Identifier: MIT

// Four goroutines and one sync.Mutex: benches/mutex.c in Go.
package main

import (
	"flag"
	"runtime"
	"sync"
	"time"

	"coir/bench/peers/result"
)

type work struct {
	mutex   sync.Mutex
	counter uint64
}

func (w *work) count(sections uint64) {
	for i := uint64(0); i < sections; i++ {
		w.mutex.Lock()
		w.counter++
		w.mutex.Unlock()
	}
}

func (w *work) countAndYield(sections uint64) {
	for i := uint64(0); i < sections; i++ {
		w.mutex.Lock()
		before := w.counter
		runtime.Gosched()
		w.counter = before + 1
		w.mutex.Unlock()
	}
}

func measure(scenario string, repeats, tasks int, sections uint64, form func(*work, uint64)) {
	var w work
	samples := make([]float64, repeats)
	total := uint64(tasks) * sections
	for r := range samples {
		var wg sync.WaitGroup
		start := time.Now()
		wg.Add(tasks)
		for t := 0; t < tasks; t++ {
			go func() {
				form(&w, sections)
				wg.Done()
			}()
		}
		wg.Wait()
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(total)
	}
	result.Check(w.counter, uint64(repeats)*total)
	result.PrintMedian(scenario, "ns per section", samples, w.counter)
}

func main() {
	tasks := flag.Int("t", 4, "goroutines")
	sections := flag.Uint64("n", 100000, "sections of each goroutine")
	repeats := flag.Int("r", 30, "repetitions")
	result.Parse()

	measure("mutex", *repeats, *tasks, *sections, (*work).count)
	measure("mutex, held over a yield", *repeats, *tasks, (*sections+9)/10, (*work).countAndYield)
}
