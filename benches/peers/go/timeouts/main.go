// SPDX-License-Identifier: MIT

// Receives under a timeout of 10 s that is never reached: benches/timeouts.c in Go.
//
// "go" makes a context.WithTimeout for each, which is what is handed to functions that may take
// long, and "go time.After" selects between the channel and time.After, which the documentation
// recommends since Go 1.23 for what needs no more than that.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"coir/bench/peers/result"
)

const timeout = 10 * time.Second

func receiveInContext(from chan uint64) uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	select {
	case item := <-from:
		return item
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "timeouts: a timeout was reached")
		os.Exit(1)
	}
	return 0
}

func receiveByAfter(from chan uint64) uint64 {
	select {
	case item := <-from:
		return item
	case <-time.After(timeout):
		fmt.Fprintln(os.Stderr, "timeouts: a timeout was reached")
		os.Exit(1)
	}
	return 0
}

func ready(items uint64, receive func(chan uint64) uint64) (sum uint64) {
	channel := make(chan uint64, 1)
	for i := uint64(0); i < items; i++ {
		channel <- i + 1
		sum += receive(channel)
	}
	return sum
}

func soon(items uint64, receive func(chan uint64) uint64) (sum uint64) {
	channel := make(chan uint64)
	go func() {
		for i := uint64(0); i < items; i++ {
			channel <- i + 1
		}
	}()
	for i := uint64(0); i < items; i++ {
		sum += receive(channel)
	}
	return sum
}

type form func(uint64, func(chan uint64) uint64) uint64

func measure(scenario, name string, items uint64, f form, receive func(chan uint64) uint64) {
	start := time.Now()
	sum := f(items, receive)
	ns := float64(time.Since(start).Nanoseconds()) / float64(items)
	result.Check(sum, items*(items+1)/2)
	fmt.Printf("%-16s %.1f ns per receive, %s\n", scenario, ns, name)
	result.PrintAs(name, scenario, "ns per receive", ns, sum)
}

func main() {
	items := flag.Uint64("n", 1000000, "receives")
	result.Parse()

	measure("timeout, ready", "go", *items, ready, receiveInContext)
	measure("timeout, ready", "go time.After", *items, ready, receiveByAfter)
	measure("timeout, soon", "go", *items, soon, receiveInContext)
	measure("timeout, soon", "go time.After", *items, soon, receiveByAfter)
}
