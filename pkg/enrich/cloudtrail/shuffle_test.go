package cloudtrail

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// badAddress is a feed of one address.
type badAddress struct{ addr netip.Addr }

func (b badAddress) Missing() []string { return []string{"late"} }

func (b badAddress) Address(dst []enrich.Threat, a netip.Addr, _ uint16, _ time.Time) []enrich.Threat {
	if a == b.addr {
		dst = append(dst, enrich.Threat{Indicator: a.String(), Type: "ipv4-addr", How: "exact", Feed: "f", Generation: "g", Confidence: 90})
	}
	return dst
}

// written are the records as they come out, without where they were read.
func written(t testing.TB, shapes [][]byte) []string {
	t.Helper()
	table, copies := NewTable(0), NewCopies(0)
	pass := func(each func(Found) error) {
		for _, text := range shapes {
			if err := Read(bytes.NewReader(text), Limits{}, each); err != nil {
				t.Fatal(err)
			}
		}
	}
	pass(func(f Found) error {
		copies.Note(f.Record)
		for _, fact := range Extract(nil, f.Record) {
			table.Add(fact)
		}
		return nil
	})
	e := &Enricher{Facts: table, Reputation: badAddress{netip.MustParseAddr("198.51.100.23")}}
	var out []string
	pass(func(f Found) error {
		if !copies.Take(f.Record) {
			return nil
		}
		line, _, err := e.Append(nil, f.Record, Place{Position: enrich.Position{File: "f", Line: 1}}, time.Unix(1795428680, 0))
		out = append(out, string(line))
		return err
	})
	slices.Sort(out)
	return out
}

// Late is normal: however records are spread over files, shapes and copies, and in
// whatever order they come, the same records come out.
func TestShuffledAndRepeatedInputGivesTheSame(t *testing.T) {
	records, _ := story(t)
	var raw []string
	for _, r := range records {
		raw = append(raw, string(r.Raw))
	}
	slices.Sort(raw)
	want := written(t, [][]byte{[]byte(strings.Join(raw, "\n"))})
	if len(want) != len(raw) {
		t.Fatalf("%d records of %d come out", len(want), len(raw))
	}
	for _, line := range want {
		schematest.Validate(t, SchemaEnriched, []byte(line))
		if strings.Contains(line, "EXAMPLETOKEN") || strings.Contains(line, "wss://") || strings.Contains(line, "\n") {
			t.Errorf("a secret or a line break in %s", line)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		order := rapid.Permutation(raw).Draw(rt, "order")
		again := rapid.SliceOfN(rapid.SampledFrom(raw), 0, 8).Draw(rt, "copies")
		order = append(order, again...)
		at := rapid.IntRange(0, len(order)).Draw(rt, "cut")
		shapes := [][]byte{
			[]byte(`{"Records":[` + strings.Join(order[:at], ",\n") + `]}`),
			[]byte(zip(logsPayload(order[at:]...))),
		}
		if got := written(t, shapes); !slices.Equal(got, want) {
			rt.Fatalf("%d records, want %d; the first that differs:\n%s", len(got), len(want), firstDifference(got, want))
		}
	})
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return got[i] + "\n" + want[i]
		}
	}
	return fmt.Sprint(len(got), len(want))
}
