// Package kafkatest gives tests a Kafka to talk to: kfake in the process, or a
// real Apache Kafka, of one node or of several, started for the test from the jars
// that scripts/kafka.sh fetches.
//
// It must never be imported outside tests, leave a broker running behind a
// test, listen on anything but loopback, or hide in CI that a broker could not
// be started.
package kafkatest
