// Package state keeps what operators know about a partition's hosts, so that it
// moves with the partition: a Store for each partition of a topic, written with
// the transaction and restored from a changelog, and a Memory for what ends with
// the process.
//
// It must never look inside a value: what a key means is its operator's affair.
// It must never believe a local file more than the changelog, of which that file
// is a copy.
package state
