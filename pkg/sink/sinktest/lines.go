package sinktest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// Lines is a sink on a destination that keeps lines and no keys: each record is a line
// of its key and value in base64, so that neither holds a line end.
type Lines struct{ sink.Sink }

// Write implements sink.Sink.
func (s Lines) Write(ctx context.Context, batch []sink.Record) error {
	mine := make([]sink.Record, len(batch))
	copy(mine, batch)
	for i := range mine {
		mine[i].Value = fmt.Appendf(nil, "%s %s", base64.StdEncoding.EncodeToString(mine[i].Key), base64.StdEncoding.EncodeToString(mine[i].Value))
	}
	return s.Sink.Write(ctx, mine)
}

// ReadLines is what Lines wrote to a topic, from its bytes.
func ReadLines(t testing.TB, topic string, text []byte) (out []sink.Record) {
	t.Helper()
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		r := sink.Record{Topic: topic}
		var err error
		if r.Key, err = base64.StdEncoding.DecodeString(key); err == nil {
			r.Value, err = base64.StdEncoding.DecodeString(value)
		}
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}
