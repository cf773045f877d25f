// Package spool is a crash-safe first-in-first-out queue of osquery's calls on
// local disk: what Append returned nil for survives a kill, and a power cut,
// until it was read and committed. FORMAT.md describes its files.
//
// It must never look into a payload, never sync a file again whose sync failed,
// and never take a seq back. One process owns a spool; TryLock tells which.
package spool
