package kafkaconn

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
)

// LevelTrace is the level of franz-go's own debugging, below slog's: several lines for
// each request.
const LevelTrace = slog.LevelDebug - 4

// bridge passes franz-go's log on. Its information is about each request and each change
// of the cluster, so it is debugging here.
type bridge struct{ log *slog.Logger }

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
