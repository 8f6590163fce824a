// SPDX-License-Identifier: MIT

// Eight readers, one writer, one sync.RWMutex: benches/rwlock.c in Go.
package main

import (
	"flag"
	"runtime"
	"sync"
	"time"

	"coir/bench/peers/result"
)

type work struct {
	lock           sync.RWMutex
	number, triple uint64 // triple == 3 * number, but for whoever is writing
}

func (w *work) readOften(reads uint64) uint64 {
	var good uint64
	for i := uint64(0); i < reads; i++ {
		w.lock.RLock()
		if w.triple == 3*w.number {
			good++
		}
		w.lock.RUnlock()
	}
	return good
}

func (w *work) writeOften(writes uint64) {
	for i := uint64(0); i < writes; i++ {
		w.lock.Lock()
		w.number++
		w.triple += 3
		w.lock.Unlock()
		runtime.Gosched()
	}
}

func (w *work) readAndYield(reads uint64) uint64 {
	var good uint64
	for i := uint64(0); i < reads; i++ {
		w.lock.RLock()
		number := w.number
		runtime.Gosched()
		if w.triple == 3*number {
			good++
		}
		w.lock.RUnlock()
	}
	return good
}

func (w *work) writeAndYield(writes uint64) {
	for i := uint64(0); i < writes; i++ {
		w.lock.Lock()
		w.number++
		runtime.Gosched()
		w.triple += 3
		w.lock.Unlock()
	}
}

// The goroutines of one form.
type form struct {
	scenario      string
	read          func(*work, uint64) uint64
	write         func(*work, uint64)
	reads, writes uint64
}

func (f *form) together(w *work, good []uint64) {
	var wg sync.WaitGroup
	for g := range good {
		cell := &good[g]
		wg.Add(1)
		go func() {
			*cell += f.read(w, f.reads)
			wg.Done()
		}()
	}
	if f.write != nil {
		wg.Add(1)
		go func() {
			f.write(w, f.writes)
			wg.Done()
		}()
	}
	wg.Wait()
}

func (f *form) measure(readers, repeats int) {
	var w work
	good := make([]uint64, readers)
	samples := make([]float64, repeats)
	sections := uint64(readers)*f.reads + f.writes
	for r := range samples {
		start := time.Now()
		f.together(&w, good)
		samples[r] = float64(time.Since(start).Nanoseconds()) / float64(sections)
	}
	done := w.number
	for _, g := range good {
		done += g
	}
	result.Check(w.triple, 3*w.number)
	result.Check(done, uint64(repeats)*sections)
	result.PrintMedian(f.scenario, "ns per section", samples, done)
}

func main() {
	readers := flag.Int("t", 8, "reading goroutines")
	reads := flag.Uint64("n", 100000, "reads of each; a tenth as many writes in all")
	repeats := flag.Int("r", 15, "repetitions")
	result.Parse()

	n := *reads
	forms := []form{
		{"rwlock", (*work).readOften, (*work).writeOften, n, n / 10},
		{"rwlock, readers only", (*work).readOften, nil, n, 0},
		{"rwlock, held over a yield", (*work).readAndYield, (*work).writeAndYield, n / 10, n / 100},
	}
	for i := range forms {
		forms[i].measure(*readers, *repeats)
	}
}
