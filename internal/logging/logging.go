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
	h, _ := NewHandler(c, w)
	return slog.New(h)
}

// NewHandler returns a handler that writes to w, and a function that changes its
// level to one of Config's.
func NewHandler(c Config, w io.Writer) (h slog.Handler, setLevel func(name string)) {
	level := new(slog.LevelVar)
	setLevel = func(name string) {
		var l slog.Level
		if err := l.UnmarshalText([]byte(name)); err == nil {
			level.Set(l)
		}
	}
	setLevel(c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.NewJSONHandler(w, options), setLevel
	}
	return slog.NewTextHandler(w, options), setLevel
}
