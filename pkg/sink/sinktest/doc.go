// Package sinktest holds the suite that every sink.Sink must pass, and a fake
// sink with scripted failures for the tests of what stands before a sink.
//
// It must never lower a promise of sink.Sink for one destination's sake: what
// a destination cannot do is said in its Harness, and only where the contract
// leaves it open. It is imported by tests alone.
package sinktest
