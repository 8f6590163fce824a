// SPDX-License-Identifier: MIT

// Package work is benches/work.h in Go.
package work

// Microsecond is about as many steps of Hash as take one.
const Microsecond = 400

// Hash makes steps each of which needs the result of the one before.
func Hash(x, steps uint64) uint64 {
	for i := uint64(0); i < steps; i++ {
		x ^= x >> 32
		x *= 0xd6e8feb86659fd93
	}
	return x
}
