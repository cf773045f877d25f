#!/bin/sh
# Creates the topics with the broker's own clock (LogAppendTime): a host's wrong
# clock then neither loses a row nor deletes one early.
set -eu
for topic in osquery.results osquery.status osquery.enriched osquery.findings osquery.deadletter; do
	/opt/kafka/bin/kafka-topics.sh --bootstrap-server kafka:9092 --create --if-not-exists \
		--topic "$topic" --partitions 4 --config message.timestamp.type=LogAppendTime
done
# What the enricher knows of its hosts: as many partitions as the rows have.
/opt/kafka/bin/kafka-topics.sh --bootstrap-server kafka:9092 --create --if-not-exists \
	--topic "${GROUP:-stackjoin-enricher}.state" --partitions 4 --config cleanup.policy=compact
