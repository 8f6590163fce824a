// SPDX-License-Identifier: MIT

// Two goroutines that only call runtime.Gosched: benches/yield.c in Go.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func main() {
	yields := flag.Uint64("n", 5000000, "yields of each goroutine")
	result.Parse()

	var counts [2]uint64
	var wg sync.WaitGroup
	wg.Add(2)
	start := time.Now()
	for t := range counts {
		t := t
		go func() {
			var i uint64
			for ; i < *yields; i++ {
				runtime.Gosched()
			}
			counts[t] = i
			wg.Done()
		}()
	}
	wg.Wait()
	elapsed := float64(time.Since(start).Nanoseconds())

	count := counts[0] + counts[1]
	result.Check(count, 2**yields)
	ns := elapsed / float64(count)
	fmt.Printf("%d yields: %.1f ms, %.2f ns each\n", count, elapsed/1e6, ns)
	result.Print("yield", "ns per yield", ns, count)
}
