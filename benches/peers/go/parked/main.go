// SPDX-License-Identifier: MIT

// Many goroutines that all wait for a channel to be closed: benches/parked.c in Go.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coir/bench/peers/result"
)

// memory is what this process occupies: resident pages and page tables, in bytes.
func memory() (bytes int64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		line := lines.Text()
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmPTE:") {
			fmt.Sscan(line[6:], &kib)
			bytes += kib * 1024
		}
	}
	return bytes
}

type times struct {
	park, wake time.Duration
	grown      int64
}

func round(tasks int) (t times) {
	var arrived atomic.Int64
	var wg sync.WaitGroup
	open := make(chan struct{})
	before := memory()
	start := time.Now()
	wg.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			arrived.Add(1)
			<-open
			wg.Done()
		}()
	}
	for arrived.Load() < int64(tasks) {
		runtime.Gosched()
	}
	t.park = time.Since(start)
	t.grown = memory() - before
	start = time.Now()
	close(open)
	wg.Wait()
	t.wake = time.Since(start)
	result.Check(uint64(arrived.Load()), uint64(tasks))
	return t
}

func main() {
	tasks := flag.Int("n", 100000, "goroutines")
	result.Parse()
	report := func(what, unit string, all float64) {
		scenario := fmt.Sprintf("%s, %d tasks", what, *tasks)
		fmt.Printf("%s: %.0f %s\n", scenario, all/float64(*tasks), unit)
		result.Print(scenario, unit, all/float64(*tasks), uint64(*tasks))
	}
	cold := round(*tasks)
	report("parked cold", "ns per task", float64(cold.park.Nanoseconds()))
	report("wake cold", "ns per task", float64(cold.wake.Nanoseconds()))
	report("parked memory", "bytes per task", float64(cold.grown))
	warm := round(*tasks)
	report("parked warm", "ns per task", float64(warm.park.Nanoseconds()))
	report("wake warm", "ns per task", float64(warm.wake.Nanoseconds()))
}
