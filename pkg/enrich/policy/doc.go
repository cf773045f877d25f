// Package policy raises findings from the indicators that events met: what is worth
// a person's look, how much it matters, and what its owner asked not to be told of.
//
// There is one finding for each rule, host, indicator and UTC day of event time. It
// is told at once, and again when it changed: at once when it matters more, else at
// most once a minute of its host's time.
//
// It must never look anything up, nor change an event.
package policy
