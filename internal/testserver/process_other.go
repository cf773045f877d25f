//go:build !linux

package testserver

import "syscall"

// dieWithParent does nothing here: only Linux ties a program to its parent.
func dieWithParent() *syscall.SysProcAttr { return nil }
