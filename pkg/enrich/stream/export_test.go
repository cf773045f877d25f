package stream

import "time"

// Hurried is cfg for sessions that try again soon after an abort.
func Hurried(cfg KafkaConfig) KafkaConfig {
	cfg.pause = 50 * time.Millisecond
	return cfg
}
