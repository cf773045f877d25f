// Package lease divides a stream's shards among the processes that read it, by a
// DynamoDB table of the shape that Amazon's Kinesis Client Library gives its own: one
// item a shard, with its owner, a counter that the owner moves on, the checkpoint, and
// the shard's parents and children. Its tools can read the table.
//
// Every change is conditional on what the item says, so that of two who believe to
// hold a shard only one can move its checkpoint on. It must never hand out a shard
// before its parents are finished, trust another machine's clock, or let renewal wait
// for those who read. It knows nothing of what is in a shard.
package lease
