// SPDX-License-Identifier: MIT

// How long a goroutine that waits takes to see what another thread sends: benches/wake_latency.c in
// Go.
//
// Go has no threads outside its runtime. In their place is a goroutine that has a thread for itself
// (LockOSThread), and wakes by Go's timers: so one of Go's threads is always awake already when the
// message is sent, and with one thread what remains is handing the processor over to another. When
// all sleep, Go rounds its timers up to a millisecond: a shorter pause would not be shorter.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"time"

	"coir/bench/peers/result"
)

func main() {
	messages := flag.Int("n", 1000, "messages")
	pause := flag.Int("p", 1000, "microseconds between them")
	result.Parse()

	channel := make(chan time.Time, 1)
	go func() {
		runtime.LockOSThread()
		for i := 0; i < *messages; i++ {
			time.Sleep(time.Duration(*pause) * time.Microsecond)
			channel <- time.Now()
		}
		close(channel)
	}()
	samples := make([]float64, 0, *messages)
	for stamp := range channel {
		samples = append(samples, float64(time.Since(stamp).Nanoseconds()))
	}

	count := uint64(len(samples))
	result.Check(count, uint64(*messages))
	median, p99 := result.Median(samples), result.Percentile(samples, 99)
	fmt.Printf("wake latency: median %.0f ns, p99 %.0f, max %.0f\n",
		median, p99, samples[len(samples)-1])
	result.Print("wake latency, median", "ns", median, count)
	result.Print("wake latency, p99", "ns", p99, count)
}
