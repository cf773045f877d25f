package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/internal/logging"
)

// ownLine is one line of our own log.
type ownLine struct {
	level slog.Level
	text  string
	at    time.Time
}

// status writes the line as osqueryd's status call has it.
func (l ownLine) status() []byte {
	severity := 1
	if l.level >= slog.LevelError {
		severity = 2
	}
	host, _ := os.Hostname()             // as osqueryd names it by default
	text, err := json.Marshal([]struct { // in osqueryd's order
		S int    `json:"s"`
		F string `json:"f"`
		I int    `json:"i"`
		M string `json:"m"`
		H string `json:"h"`
		C string `json:"c"`
		U int64  `json:"u"`
	}{{severity, "logger-ext", 0, l.text, host, l.at.UTC().Format("Mon Jan _2 15:04:05 2006 UTC"), l.at.Unix()}})
	if err != nil {
		return []byte("[]") // texts and numbers always marshal
	}
	return text
}

// tee is a slog.Handler that passes records on, and hands warnings and errors to
// whoever spools them, one of a kind a minute: a line about a failure to spool
// must not make more of them. It never waits: a line that is not taken stands on
// standard error.
type tee struct {
	slog.Handler

	shared *teeShared
	text   slog.Handler // writes into shared.buf
}

type teeShared struct {
	lines chan<- ownLine

	throttle logging.Throttle

	mu  sync.Mutex
	buf bytes.Buffer
}

// newTee returns a logger over h and the channel of its lines.
func newTee(h slog.Handler) (*slog.Logger, <-chan ownLine) {
	lines := make(chan ownLine, 64)
	shared := &teeShared{lines: lines}
	plain := slog.NewTextHandler(&shared.buf, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(tee{h, shared, plain}), lines
}

// Handle implements slog.Handler.
func (t tee) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		t.spool(ctx, r)
	}
	return t.Handler.Handle(ctx, r) //nolint:wrapcheck // the handler's own
}

func (t tee) spool(ctx context.Context, r slog.Record) {
	s := t.shared
	if _, ok := s.throttle.Allow(r.Message); !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
	if err := t.text.Handle(ctx, r); err != nil {
		return
	}
	text := r.Message
	if attrs := strings.TrimSpace(s.buf.String()); attrs != "" {
		text += ": " + attrs
	}
	select {
	case s.lines <- ownLine{r.Level, text, r.Time}:
	default:
	}
}

// WithAttrs implements slog.Handler.
func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tee{t.Handler.WithAttrs(attrs), t.shared, t.text.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (t tee) WithGroup(name string) slog.Handler {
	return tee{t.Handler.WithGroup(name), t.shared, t.text.WithGroup(name)}
}
