#!/bin/sh
# Creates the topics with the broker's own clock (LogAppendTime): a host's wrong
# clock then neither loses a row nor deletes one early.
set -eu
for topic in osquery.results osquery.status osquery.enriched osquery.deadletter; do
	/opt/kafka/bin/kafka-topics.sh --bootstrap-server kafka:9092 --create --if-not-exists \
		--topic "$topic" --partitions 4 --config message.timestamp.type=LogAppendTime
done
