// Package loggertest runs the real logger-ext under the osqueryd driver, and reads
// what the kernel says of its process. Tests and benchmarks that look at the
// program from outside use it.
//
// It must never reach into the program: what it knows comes through osqueryd's
// socket, the broker, the spool's folder and the process table.
package loggertest
