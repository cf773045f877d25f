// Package process answers who ran it: the version of a process behind an event,
// its ancestry, its container and the login it belongs to. Its Operator owns one
// partition's hosts.
//
// What is kept of a host is a set of facts with times, and an answer is read from
// that set for the time of the event. So it does not matter in which order rows
// came, and a fact taken twice changes nothing.
//
// It never guesses: a pid whose start was not seen, or whose path contradicts the
// event, is a gap; a login that is one of several is said to be possible. It must
// never do I/O but through its State.
package process
