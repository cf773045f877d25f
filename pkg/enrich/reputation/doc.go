// Package reputation tells whether an address, a name, a URL or a hash is on a
// feed of indicators. Feeds are read into an immutable Index, aside; one atomic
// pointer swaps it in.
//
// It must never resolve or contact what a feed or an event names, change an
// Index that is in use, or answer from a hash alone: every hit is confirmed
// against the whole value.
package reputation
