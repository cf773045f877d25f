// Package kpl writes and reads the record format of Amazon's Kinesis Producer
// Library, which puts many records into one Kinesis record: four magic bytes, a
// protocol-buffers message, the message's MD5. The format is that of
// aggregation-format.md in github.com/awslabs/amazon-kinesis-producer.
//
// It must never trust what it reads: an aggregate comes from anybody who may put
// records, so a malformed one is an error of that record alone, and reading takes
// memory in proportion to its bytes. It knows nothing of streams, shards' leases or
// the AWS SDK.
package kpl
