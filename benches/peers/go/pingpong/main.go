// SPDX-License-Identifier: MIT

// Two goroutines, two channels, unbuffered unless told otherwise: benches/pingpong.c in Go.
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"

	"coir/bench/peers/result"
)

func ping(there chan<- uint64, back <-chan uint64, rounds uint64, sum *uint64) {
	var s uint64
	for i := uint64(0); i < rounds; i++ {
		there <- i
		s += <-back
	}
	*sum = s
}

func pong(there <-chan uint64, back chan<- uint64, rounds uint64) {
	for i := uint64(0); i < rounds; i++ {
		back <- <-there + 1
	}
}

func main() {
	rounds := flag.Uint64("n", 1000000, "rounds of each pair")
	pairs := flag.Int("p", 1, "pairs of goroutines")
	capacity := flag.Int("b", 0, "capacity of the channels")
	result.Parse()

	sums := make([]uint64, *pairs)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range sums {
		i, there, back := i, make(chan uint64, *capacity), make(chan uint64, *capacity)
		wg.Add(2)
		go func() { ping(there, back, *rounds, &sums[i]); wg.Done() }()
		go func() { pong(there, back, *rounds); wg.Done() }()
	}
	wg.Wait()
	ns := float64(time.Since(start).Nanoseconds())

	var sum uint64
	for _, s := range sums {
		sum += s
	}
	result.Check(sum, uint64(*pairs)*(*rounds*(*rounds+1)/2))
	total := float64(*rounds) * float64(*pairs)
	fmt.Printf("Total rounds: %.0f\n", total)
	fmt.Printf("Total time: %.2f ms\n", ns/1e6)
	fmt.Printf("Time per round: %.1f ns\n", ns/total)
	fmt.Printf("Messages/sec: %.0f\n", 2*total*1e9/ns)
	fmt.Printf("Rounds/sec: %.0f\n", total*1e9/ns)
	scenario := "pingpong"
	if *capacity > 0 {
		scenario += fmt.Sprintf(", capacity %d", *capacity)
	}
	if *pairs > 1 {
		scenario += fmt.Sprintf(", %d pairs", *pairs)
	}
	result.Print(scenario, "ns per round", ns/total, sum)
}
