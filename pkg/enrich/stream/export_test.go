package stream

import "time"

// Hurried is cfg for sessions that try again soon after an abort, and soon give up the
// end of a transaction.
func Hurried(cfg KafkaConfig) KafkaConfig {
	cfg.pause, cfg.ending = 50*time.Millisecond, 5*time.Second
	return cfg
}
