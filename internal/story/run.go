package story

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// Pipeline is what a story is told to.
type Pipeline interface {
	Process(ctx context.Context, in enrich.Input, out *enrich.Out) error
}

// finisher is a Pipeline that holds events back.
type finisher interface {
	Finish(ctx context.Context, out *enrich.Out) error
}

// Run tells the story to a pipeline and holds what comes out to what the story wants.
func (s *Story) Run(t testing.TB, p Pipeline) {
	t.Helper()
	var out enrich.Out
	records := s.records(t)
	for i, r := range records {
		in := enrich.Input{Value: r.value, Position: position(i)}
		if err := p.Process(context.Background(), in, &out); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	if f, ok := p.(finisher); ok {
		if err := f.Finish(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
	}
	s.compare(t, records, told(t, &out))
}

// told is the last enrichment of each event by its id. Every output must be a record
// of its schema.
func told(t testing.TB, out *enrich.Out) map[string]map[string]any {
	t.Helper()
	last := map[string]map[string]any{}
	for _, o := range out.Outputs {
		schematest.Validate(t, o.Schema, o.Value)
		var value struct{ Enrichment map[string]any }
		if err := json.Unmarshal(o.Value, &value); err != nil {
			t.Fatalf("output %s: %v", o.ID, err)
		}
		if o.Stream == enrich.Enriched {
			last[o.ID] = value.Enrichment
		}
	}
	return last
}

func (s *Story) compare(t testing.TB, records []record, told map[string]map[string]any) {
	t.Helper()
	for _, w := range s.Want {
		i := slices.IndexFunc(records, func(r record) bool { return r.label == w.Row })
		if i < 0 || len(w.Is) == 0 {
			t.Fatalf("want of row %q: there is no such row, or nothing is wanted of it", w.Row)
		}
		got, ok := told[records[i].id]
		if !ok {
			t.Errorf("row %s: nothing was told of it", w.Row)
			continue
		}
		for _, wrong := range s.differences("", w.Is, got) {
			t.Errorf("row %s: %s\ntold: %s", w.Row, wrong, shown(got))
		}
	}
}

func shown(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// differences tells where got lacks what is wanted.
func (s *Story) differences(path string, want, got any) (all []string) {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want an object", path, got)}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			all = append(all, s.differences(path+"."+name, want[name], have[name])...)
		}
		return all
	case []any:
		have, _ := got.([]any)
		if len(have) != len(want) {
			return []string{fmt.Sprintf("%s has %d elements, want %d", path, len(have), len(want))}
		}
		for i := range want {
			all = append(all, s.differences(fmt.Sprintf("%s[%d]", path, i), want[i], have[i])...)
		}
		return all
	}
	if text := s.wanted(want); text != fmt.Sprint(got) {
		return []string{fmt.Sprintf("%s is %v, want %s", path, got, text)}
	}
	return nil
}

// wanted is a value as fmt writes what JSON has in its place.
func (s *Story) wanted(want any) string {
	switch n := want.(type) {
	case uint64:
		want = float64(n)
	case int64:
		want = float64(n)
	case string:
		if at, ok := s.moment(n); ok {
			return string(event.AppendTime(nil, at))
		}
	case time.Time:
		return string(event.AppendTime(nil, n))
	}
	return fmt.Sprint(want)
}
