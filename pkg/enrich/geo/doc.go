// Package geo tells the country and the network of an address, from files in the
// MaxMind DB format that the user has. They are read into memory whole, aside, and
// one atomic pointer puts them in use; a file that changes is read again.
//
// It must never fetch anything, or take an address that no file knows for one
// without a country: a file that was never loaded is a gap.
package geo
