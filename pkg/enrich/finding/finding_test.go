package finding_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

func TestTheIDTellsItsPartsApart(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{{"a", "b", "c"}, {"a", "bc"}, {"ab", "c"}, {"a", "c", "b"}, {"a"}} {
		id := finding.ID(parts[0], parts[1:]...)
		if len(id) != 32 || seen[id] != nil {
			t.Errorf("%q has the id %s of %q", parts, id, seen[id])
		}
		seen[id] = parts
		if again := finding.ID(parts[0], parts[1:]...); again != id {
			t.Errorf("%q has two ids", parts)
		}
	}
}

func TestAFindingGoesToItsStreamUnderItsID(t *testing.T) {
	f := finding.Finding{ID: finding.ID("r"), Rule: "r", Title: "t", Reason: "x", Status: finding.Open, Severity: finding.Low}
	o := f.Output(time.Unix(1_760_000_000, 0))
	if o.Stream != enrich.Findings || string(o.Key) != f.ID || o.ID != f.ID || o.Kind != "finding" || o.Schema != finding.Schema {
		t.Errorf("output %+v", o)
	}
	schematest.Validate(t, finding.Schema, o.Value)
}

// What an attacker writes into a path or a user agent must not break the record.
func TestAnyTextMakesAValidRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		f := finding.Finding{
			ID: finding.ID("r"), Rule: "r", Title: text.Draw(t, "title"), Reason: "x" + text.Draw(t, "reason"), Status: finding.Open,
			Severity: finding.High, HostName: text.Draw(t, "host"), Executables: rapid.SliceOfN(rapid.String(), 0, 50).Draw(t, "executables"),
			Process: &enrich.Process{PID: 1, Executable: text.Draw(t, "path"), CommandLine: text.Draw(t, "command")},
			Loss:    &finding.Loss{Agent: text.Draw(t, "agent"), Run: "r", Topic: text.Draw(t, "topic"), Word: "lost"},
		}
		value := f.Append(nil, time.Unix(1, 0))
		var read struct {
			Message string
			Finding struct{ Executables []string }
		}
		if err := json.Unmarshal(value, &read); err != nil {
			t.Fatalf("%v: %s", err, value)
		}
		if want := strings.ToValidUTF8(f.Reason, "\ufffd"); read.Message != want || len(read.Finding.Executables) > 32 {
			t.Fatalf("message %q, want %q; %d executables", read.Message, want, len(read.Finding.Executables))
		}
	})
}
