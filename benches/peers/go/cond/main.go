// SPDX-License-Identifier: MIT

// Two goroutines that take turns under one sync.Mutex and one sync.Cond: benches/cond.c in Go.
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"

	"coir/bench/peers/result"
)

type table struct {
	mutex   sync.Mutex
	changed *sync.Cond
	turns   uint64
}

func (t *table) play(number, rounds uint64) {
	for i := uint64(0); i < rounds; i++ {
		t.mutex.Lock()
		for t.turns%2 != number {
			t.changed.Wait()
		}
		t.turns++
		t.mutex.Unlock()
		t.changed.Signal()
	}
}

func main() {
	rounds := flag.Uint64("n", 1000000, "rounds")
	result.Parse()

	var t table
	t.changed = sync.NewCond(&t.mutex)
	var wg sync.WaitGroup
	start := time.Now()
	wg.Add(2)
	for number := uint64(0); number < 2; number++ {
		number := number
		go func() { t.play(number, *rounds); wg.Done() }()
	}
	wg.Wait()
	elapsed := float64(time.Since(start).Nanoseconds())

	result.Check(t.turns, 2**rounds)
	ns := elapsed / float64(*rounds)
	fmt.Printf("%d rounds: %.1f ms, %.1f ns each\n", *rounds, elapsed/1e6, ns)
	result.Print("cond", "ns per round", ns, t.turns)
}
