// SPDX-License-Identifier: MIT

// Package result prints what a program measured in the form that ./bench reads
// (see benches/measure.h).
package result

import (
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
)

var (
	procs = flag.Int("w", 1, "GOMAXPROCS; 0: one per core")
	json  = flag.Bool("json", false, "one JSON line per result as well")
)

// Parse reads the command line and sets GOMAXPROCS.
func Parse() {
	flag.Parse()
	if *procs == 0 {
		*procs = runtime.NumCPU()
	}
	runtime.GOMAXPROCS(*procs)
}

// Procs is GOMAXPROCS as asked for.
func Procs() int { return *procs }

// Print writes one result, if asked for.
func Print(scenario, unit string, value float64, checksum uint64) {
	PrintAs("go", scenario, unit, value, checksum)
}

// PrintAs does so for one of several ways to do it in Go.
func PrintAs(name, scenario, unit string, value float64, checksum uint64) {
	if *json {
		fmt.Printf(`{"scenario":"%s","runtime":"%s","threads":%d,"unit":"%s",`+
			`"value":%.3f,"checksum":"%d"}`+"\n",
			scenario, name, *procs, unit, value, checksum)
	}
}

// Median sorts the samples.
func Median(samples []float64) float64 {
	sort.Float64s(samples)
	n := len(samples)
	return (samples[(n-1)/2] + samples[n/2]) / 2
}

// Percentile is the value that percent of the sorted samples are not above.
func Percentile(sorted []float64, percent float64) float64 {
	rank := int(math.Ceil(float64(len(sorted)) * percent / 100))
	if rank < 1 {
		rank = 1
	}
	return sorted[rank-1]
}

// PrintMedian writes the median of the samples, for people and as a result.
func PrintMedian(scenario, unit string, samples []float64, checksum uint64) {
	PrintMedianAs("go", scenario, unit, samples, checksum)
}

// PrintMedianAs does so for one of several ways to do it in Go.
func PrintMedianAs(name, scenario, unit string, samples []float64, checksum uint64) {
	median := Median(samples)
	fmt.Printf("%-28s %.1f %s (median of %d, %.1f to %.1f), %s\n",
		scenario, median, unit, len(samples), samples[0], samples[len(samples)-1], name)
	PrintAs(name, scenario, unit, median, checksum)
}

// Check ends the program if the work done is not the work wanted.
func Check(got, wanted uint64) {
	if got != wanted {
		fmt.Fprintf(os.Stderr, "the checksum is %d, not %d\n", got, wanted)
		os.Exit(1)
	}
}
