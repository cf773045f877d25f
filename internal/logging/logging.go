// Package logging makes the programs' logger. It must never decide what is worth
// a line.
package logging

import (
	"io"
	"log/slog"
)

// Config says what is logged and how.
type Config struct {
	Level  string `yaml:"level" default:"info" enum:"debug|info|warn|error" doc:"The least important lines that are written."`
	Format string `yaml:"format" default:"text" enum:"text|json" doc:"How lines on standard error are written."`
}

// New returns a logger that writes to w.
func New(c Config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
