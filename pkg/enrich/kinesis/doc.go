// Package kinesis reads an Amazon Kinesis stream for the joins: each shard by whoever
// holds its lease, its records taken out of whatever their senders packed them into, a
// session (stream.Session) for each.
//
// Kinesis has no transactions. What takes their place is a journal for each shard: what
// a batch changed in the state and what it has to tell are stored first, the lease's
// checkpoint is moved to them second, and only then is anything told. Who takes the
// shard over tells it again, byte for byte, and goes on from there.
//
// It must never tell anything for a shard whose lease is lost, begin a shard before its
// parents' state is there, or let one hostile record stop a shard. How to reach AWS,
// and where output goes, is the caller's to say.
package kinesis
