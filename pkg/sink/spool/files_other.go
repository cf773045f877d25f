//go:build !linux

package spool

import "os"

// dataSynced is the file itself: there is no cheaper sync that is safe.
type dataSynced struct{ *os.File }
