package kafkaconn

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/logging"
)

// LevelTrace is the level of franz-go's own debugging, below slog's: several lines for
// each request.
const LevelTrace = slog.LevelDebug - 4

// bridge passes franz-go's log on. Its information is about each request and each change
// of the cluster, so it is debugging here; its warnings come with each try, so one of a
// kind a minute has to do.
type bridge struct {
	log      *slog.Logger
	throttle *logging.Throttle
}

// Level returns the least important level that the log takes.
func (b bridge) Level() kgo.LogLevel {
	for level := kgo.LogLevelDebug; level > kgo.LogLevelNone; level-- {
		if b.log.Enabled(context.Background(), levelOf(level)) {
			return level
		}
	}
	return kgo.LogLevelNone
}

// Log writes one line.
func (b bridge) Log(level kgo.LogLevel, message string, keyvals ...any) {
	if to := levelOf(level); to >= slog.LevelWarn && !b.log.Enabled(context.Background(), slog.LevelDebug) {
		n, ok := b.throttle.Allow(message)
		if !ok {
			return
		}
		keyvals = append(keyvals, "suppressed", n)
	}
	b.log.Log(context.Background(), levelOf(level), message, keyvals...)
}

func levelOf(level kgo.LogLevel) slog.Level {
	switch level {
	case kgo.LogLevelError:
		return slog.LevelError
	case kgo.LogLevelWarn:
		return slog.LevelWarn
	case kgo.LogLevelInfo:
		return slog.LevelDebug
	case kgo.LogLevelDebug, kgo.LogLevelNone:
	}
	return LevelTrace
}
