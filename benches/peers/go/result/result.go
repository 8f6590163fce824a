// SPDX-License-Identifier: MIT

// Package result prints what a program measured in the form that ./bench reads
// (see benches/measure.h).
package result

import (
	"flag"
	"fmt"
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

// Print writes one result, if asked for.
func Print(scenario, unit string, value float64, checksum uint64) {
	if *json {
		fmt.Printf(`{"scenario":"%s","runtime":"go","threads":%d,"unit":"%s",`+
			`"value":%.3f,"checksum":"%d"}`+"\n", scenario, *procs, unit, value, checksum)
	}
}

// Median sorts the samples.
func Median(samples []float64) float64 {
	sort.Float64s(samples)
	n := len(samples)
	return (samples[(n-1)/2] + samples[n/2]) / 2
}

// PrintMedian writes the median of the samples, for people and as a result.
func PrintMedian(scenario, unit string, samples []float64, checksum uint64) {
	median := Median(samples)
	fmt.Printf("%-28s %.1f %s (median of %d, %.1f to %.1f)\n",
		scenario, median, unit, len(samples), samples[0], samples[len(samples)-1])
	Print(scenario, unit, median, checksum)
}

// Check ends the program if the work done is not the work wanted.
func Check(got, wanted uint64) {
	if got != wanted {
		fmt.Fprintf(os.Stderr, "the checksum is %d, not %d\n", got, wanted)
		os.Exit(1)
	}
}
