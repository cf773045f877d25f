// Package kafkaconn turns the part of a configuration that says how to reach Kafka
// (brokers, TLS, SASL) into options of the franz-go client, for every program here.
//
// Certificates, passwords, tokens and AWS credentials are read again for each new
// connection, so a rotated file takes effect without a restart, and a file that is
// missing fails that connection, by its path, and not the program's start.
//
// The package must never open a connection of its own accord, keep a secret between
// connections, or let one into an error or a log line. It knows nothing of topics,
// producing or consuming.
package kafkaconn
