// Package kinesistest gives tests a Kinesis to talk to: a small one in the process,
// or kinesis-local, a real program that speaks Kinesis's protocol, started for the
// test from what scripts/kinesis.sh fetches; and a front for either, which can go
// away and refuse records as the service does. Beside it are the services that readers
// of a stream need: DynamoDB (dynalite) and S3 (moto).
//
// It must never be imported outside tests, leave a server running behind a test, or
// hide in CI that one could not be started.
package kinesistest
