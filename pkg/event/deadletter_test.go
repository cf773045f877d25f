package event_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// letter is a dead letter as its readers see it.
type letter struct {
	Schema, Kind, Reason, Message, SHA256, File string
	Source                                      struct {
		Agent, Run string
		Seq        uint64
		Row        *int
	}
	Time      time.Time
	Size      int
	Original  []byte
	Truncated bool
}

func TestDeadLetter(t *testing.T) {
	big := strings.Repeat("\xff\x00", 100_000)
	name := &event.Delivery{Agent: "6f1c9b1e-7d5c-4c55-9d6e-000000000001", Run: "00ff00ff00ff00ff", Seq: 7, Row: 3}
	when := time.Date(2026, 11, 23, 10, 11, 18, 305_000_000, time.UTC)
	for _, test := range []struct {
		what      string
		in        event.DeadLetter
		shown     int
		truncated bool
	}{
		{"empty", event.DeadLetter{Reason: "malformed", Message: "byte 0: expected an object"}, 0, false},
		{"whole", event.DeadLetter{Reason: "malformed", Original: []byte(big), Whole: len(big)}, len(big), false},
		{"too large", event.DeadLetter{Reason: "oversized", Original: []byte(big), Whole: 1000, File: "/var/lib/x"}, 64 << 10, true},
		{"too large for a broker with little room", event.DeadLetter{Reason: "oversized", Original: []byte(big), Whole: 1000, Part: 500}, 500, true},
		{"small, nothing carried whole", event.DeadLetter{Reason: "refused", Message: "a \"b\"\n\x00\xff", Original: []byte("{}")}, 2, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			test.in.Time, test.in.Source = when, event.AppendName(nil, name)
			schematest.Validate(t, event.SchemaDeadLetter, test.in.Append(nil))
			var got letter
			if err := json.Unmarshal(test.in.Append(nil), &got); err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256(test.in.Original)
			if got.Schema != event.SchemaDeadLetter || got.Kind != "deadletter" || got.Reason != test.in.Reason || got.File != test.in.File ||
				got.Message != strings.ToValidUTF8(test.in.Message, "\ufffd") || got.SHA256 != hex.EncodeToString(digest[:]) ||
				got.Size != len(test.in.Original) || !got.Time.Equal(when) || got.Truncated != test.truncated {
				t.Errorf("read %+v", got)
			}
			if string(got.Original) != string(test.in.Original[:test.shown]) {
				t.Errorf("carries %d bytes, want the first %d", len(got.Original), test.shown)
			}
			if got.Source.Agent != name.Agent || got.Source.Run != name.Run || got.Source.Seq != 7 || got.Source.Row == nil || *got.Source.Row != 3 {
				t.Errorf("source %+v", got.Source)
			}
		})
	}
	if got := string(event.AppendName(nil, &event.Delivery{Agent: "a", Run: "r", Seq: 7, Row: -1})); got != `"agent":"a","run":"r","seq":7` {
		t.Errorf("a call's name is %s", got)
	}
}
