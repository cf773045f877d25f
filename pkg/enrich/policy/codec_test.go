package policy

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

func drawRecord(t *rapid.T) *record {
	text := rapid.String()
	texts := func(label string) []string {
		if all := rapid.SliceOfN(text, 0, 3).Draw(t, label); len(all) > 0 {
			return all
		}
		return nil
	}
	moment := func(label string) time.Time {
		return time.Unix(rapid.Int64Range(1, 1<<40).Draw(t, label), rapid.Int64Range(0, 999_999_999).Draw(t, label)).UTC()
	}
	r := &record{
		retro: rapid.Bool().Draw(t, "retro"), id: text.Draw(t, "id"), rule: text.Draw(t, "rule"), day: rapid.Int64().Draw(t, "day"), revision: rapid.Int64().Draw(t, "revision"),
		told: moment("told"), dirty: rapid.Bool().Draw(t, "dirty"), first: moment("first"), last: moment("last"),
		open: rapid.Int64().Draw(t, "open"), suppressed: rapid.Int64().Draw(t, "suppressed"), severity: finding.Severity(text.Draw(t, "severity")),
		confidence: rapid.IntRange(0, 100).Draw(t, "confidence"), hostName: text.Draw(t, "host"), what: text.Draw(t, "what"), why: text.Draw(t, "why"),
		executables: texts("executables"), techniques: texts("techniques"), copied: rapid.Uint64().Draw(t, "copied"),
		copies:  finding.Copies{Process: []byte(text.Draw(t, "process")), Threats: []byte(text.Draw(t, "threats"))},
		session: text.Draw(t, "session"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "counted") {
		r.counted = append(r.counted, rapid.Uint64().Draw(t, "event"))
		r.evidence = append(r.evidence, finding.Evidence{ID: text.Draw(t, "event"), Position: enrich.Position{
			Topic: text.Draw(t, "topic"), Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset"),
			File: text.Draw(t, "file"), Line: rapid.Int64().Draw(t, "line"),
		}})
	}
	return r
}

func TestARecordIsReadAsItWasWrittenAndACutOneIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		value := r.encode()
		got, err := readRecord(value)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, r)
		}
		if _, err := readRecord(value[:rapid.IntRange(0, len(value)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a cut record was read")
		}
		if _, err := readRecord(append(value, 0)); err == nil {
			t.Fatal("what is left over was not told")
		}
	})
}

func FuzzReadRecord(f *testing.F) {
	f.Add((&record{id: "a", day: -3, told: time.Unix(5, 6).UTC(), counted: []uint64{1}, evidence: []finding.Evidence{{ID: "e"}}}).encode())
	f.Add([]byte{})
	f.Add([]byte{1, 0xff})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := readRecord(value)
		if err != nil {
			return
		}
		again, err := readRecord(r.encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, read again %+v", err, r, again)
		}
	})
}

func FuzzReadNoisy(f *testing.F) {
	f.Add((&noisy{begun: 3, over: 11, revision: 2, first: time.Unix(1, 0).UTC()}).encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, value []byte) {
		n, err := readNoisy(value)
		if err != nil {
			return
		}
		if again, err := readNoisy(n.encode()); err != nil || *again != *n {
			t.Fatalf("%v: %+v, read again %+v", err, n, again)
		}
	})
}
