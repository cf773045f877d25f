// Package event knows what osquery's words mean: the forms its results come in,
// how one call splits into rows, the wire form of a shipped row, and the lenses
// that tell which column of which table is a process id, an address or a name.
//
// It works on bytes and keeps them: a row's members are never re-encoded, only
// looked at and, on the wire, followed by one more member. It must never import
// another room of this project, never do I/O, and never guess: a table it does
// not know is kind "other".
package event
