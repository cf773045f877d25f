package stream

import "time"

// Hurried is cfg for sessions that try again soon after an abort, and soon give up the
// end of a transaction.
func Hurried(cfg KafkaConfig) KafkaConfig {
	cfg.pause, cfg.ending = 50*time.Millisecond, 5*time.Second
	return cfg
}

// Patient is cfg for sessions that wait so long for a topic that brings nothing to merge.
func Patient(cfg KafkaConfig, patience time.Duration) KafkaConfig {
	cfg.patience = patience
	return cfg
}

// Small is cfg for sessions whose transactions hold some forty records.
func Small(cfg KafkaConfig) KafkaConfig {
	cfg.limits = &limits{halved: smallest}
	return cfg
}
