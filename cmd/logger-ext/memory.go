package main

import (
	"runtime/debug"
	"runtime/metrics"
)

// Memory is what a host notices of a logger: what a giant call took is given back soon after.
const (
	// muchHeap is more than sending takes; above it something large went by.
	muchHeap = 32 << 20
)

// giveBack returns memory to the operating system when much of it is taken that
// may not be in use. The runtime by itself takes minutes.
func giveBack() {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, // dead ones too, until they are collected
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	taken := uint64(0)
	for _, s := range samples {
		taken += s.Value.Uint64()
	}
	if taken > muchHeap {
		debug.FreeOSMemory()
	}
}
