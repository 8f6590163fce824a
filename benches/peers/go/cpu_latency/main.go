// SPDX-License-Identifier: MIT

// How late a goroutine is that wants to run every millisecond, beside others that compute:
// benches/cpu_latency.c in Go.
//
// Go interrupts what computes for longer than 10 ms, so "not yielding" is the ordinary way here;
// "yielding" calls runtime.Gosched after each portion.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"coir/bench/peers/result"
	"coir/bench/peers/work"
)

const portion = 20 // us

type state struct {
	portions  uint64
	yielding  bool
	start     time.Time
	computing int64
	sum       uint64
	over      int64 // ns after the start; 0: not yet
	samples   []float64
}

func (s *state) compute() {
	x := uint64(1)
	for i := uint64(0); i < s.portions; i++ {
		x = work.Hash(x, portion*work.Microsecond)
		if s.yielding {
			runtime.Gosched()
		}
	}
	atomic.AddUint64(&s.sum, x)
	if atomic.AddInt64(&s.computing, -1) == 0 {
		atomic.StoreInt64(&s.over, int64(time.Since(s.start)))
	}
}

func (s *state) tick() {
	for due := time.Millisecond; ; due += time.Millisecond {
		time.Sleep(due - time.Since(s.start))
		over := time.Duration(atomic.LoadInt64(&s.over))
		if over > 0 && due >= over {
			return
		}
		s.samples = append(s.samples, float64(time.Since(s.start)-due))
	}
}

func measure(portions uint64, yielding bool, form string) {
	s := state{portions: portions, yielding: yielding, computing: int64(result.Procs()),
		samples: make([]float64, 0, 1000000)}
	var wg sync.WaitGroup
	wg.Add(1 + result.Procs())
	s.start = time.Now()
	go func() {
		s.tick()
		wg.Done()
	}()
	for i := 0; i < result.Procs(); i++ {
		go func() {
			s.compute()
			wg.Done()
		}()
	}
	wg.Wait()

	p50, p99 := result.Median(s.samples), result.Percentile(s.samples, 99)
	max := s.samples[len(s.samples)-1]
	workNs := float64(s.over) / float64(portions*portion)
	name := "cpu latency, " + form
	fmt.Printf("%s: %d ticks, p50 %.0f ns, p99 %.0f, max %.0f; work %.0f ns per us\n",
		name, len(s.samples), p50, p99, max, workNs)
	result.Print(name+", p50", "ns", p50, s.sum)
	result.Print(name+", p99", "ns", p99, s.sum)
	result.Print(name+", max", "ns", max, s.sum)
	result.Print(name+", work", "ns per us of work", workNs, s.sum)
}

func main() {
	portions := flag.Uint64("n", 25000, "portions of 20 us that each goroutine computes")
	result.Parse()

	measure(*portions, true, "yielding")
	measure(*portions, false, "not yielding")
}
