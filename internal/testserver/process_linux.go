package testserver

import "syscall"

// dieWithParent has the kernel kill the program when the test dies first.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
