// Package fetch brings what a feed's address names into a folder, and keeps the
// last good copy there with a note of how it came.
//
// It must never judge what it fetched, send a secret to another host than the one
// it was given for, or change a copy that is in use.
package fetch
