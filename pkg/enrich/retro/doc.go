// Package retro finds what was met before the feeds knew of it. Of each five minutes
// of a partition it keeps which values were asked about, as a list of short hashes,
// where the rows lie in the inputs, and which loads of the feeds they were asked of.
// When a later load has an indicator that may be among them, the rows are read again.
//
// It must never read an input itself, nor match by a hash: what is read again is asked
// of the whole index.
package retro
