// SPDX-License-Identifier: MIT

// One goroutine that receives from 2 or 8 channels by select: benches/select.c in Go.
package main

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func receive2(c []chan uint64, items uint64) (sum uint64) {
	c0, c1 := c[0], c[1]
	for i := uint64(0); i < items; i++ {
		select {
		case v := <-c0:
			sum += v
		case v := <-c1:
			sum += v
		}
	}
	return sum
}

func receive8(c []chan uint64, items uint64) (sum uint64) {
	c0, c1, c2, c3, c4, c5, c6, c7 := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	for i := uint64(0); i < items; i++ {
		select {
		case v := <-c0:
			sum += v
		case v := <-c1:
			sum += v
		case v := <-c2:
			sum += v
		case v := <-c3:
			sum += v
		case v := <-c4:
			sum += v
		case v := <-c5:
			sum += v
		case v := <-c6:
			sum += v
		case v := <-c7:
			sum += v
		}
	}
	return sum
}

func transfer(channels []chan uint64, each uint64) (sum uint64) {
	receive := receive2
	if len(channels) == 8 {
		receive = receive8
	}
	var wg sync.WaitGroup
	wg.Add(1 + len(channels))
	go func() {
		sum = receive(channels, each*uint64(len(channels)))
		wg.Done()
	}()
	for c := range channels {
		to := channels[c]
		go func() {
			for i := uint64(0); i < each; i++ {
				to <- i + 1
			}
			wg.Done()
		}()
	}
	wg.Wait()
	return sum
}

func main() {
	count := flag.Uint64("c", 2, "channels, and senders: 2 or 8")
	items := flag.Uint64("n", 100000, "items in all")
	capacity := flag.Int("b", 0, "capacity of the channels")
	repeats := flag.Int("r", 10, "repetitions")
	result.Parse()
	if *count != 2 && *count != 8 {
		fmt.Fprintln(os.Stderr, "-c takes 2 or 8: a select statement has so many cases as it has")
		os.Exit(2)
	}

	channels := make([]chan uint64, *count)
	for c := range channels {
		channels[c] = make(chan uint64, *capacity)
	}
	each := *items / *count
	samples := make([]float64, *repeats)
	var sum uint64
	for r := range samples {
		start := time.Now()
		sum += transfer(channels, each)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(each**count)
	}
	result.Check(sum, uint64(*repeats)**count*(each*(each+1)/2))
	scenario := fmt.Sprintf("select, %d channels", *count)
	if *capacity > 0 {
		scenario += fmt.Sprintf(", capacity %d", *capacity)
	}
	result.PrintMedian(scenario, "ns per item", samples, sum)
}
