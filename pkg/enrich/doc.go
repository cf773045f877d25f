// Package enrich holds the enriched event, the seams of what answers its
// questions, and the pipeline that takes one input record through them.
//
// It must never do I/O, know a broker, or keep state of its own between events:
// state belongs to an Operator, and bringing records in and out belongs to the
// stream room.
package enrich
