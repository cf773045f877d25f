package story

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
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
		in := enrich.Input{Value: r.value, Position: position(i), Appended: r.appended, Sensor: r.sensor}
		if err := p.Process(context.Background(), in, &out); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	if f, ok := p.(finisher); ok {
		if err := f.Finish(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
	}
	s.compare(t, records, listen(t, &out))
}

// linked is the link that rests on a record of CloudTrail's.
func (h *heard) linked(id string) *telling {
	for _, l := range h.links {
		evidence, _ := l.last["evidence"].([]any)
		for _, e := range evidence {
			if one, _ := e.(map[string]any); one != nil && strings.HasPrefix(fmt.Sprint(one["id"]), id+"/") {
				return l
			}
		}
	}
	return nil
}

// telling is what was told under one id: the last, and how often.
type telling struct {
	last  map[string]any
	times int
}

// heard is what was told: of events and links by their id, and of findings by id under
// each rule.
type heard struct {
	events   map[string]*telling
	links    map[string]*telling
	findings map[string]map[string]*telling
}

// listen takes in what came out. Every output must be a record of its schema.
func listen(t testing.TB, out *enrich.Out) *heard {
	t.Helper()
	h := &heard{map[string]*telling{}, map[string]*telling{}, map[string]map[string]*telling{}}
	for _, o := range out.Outputs {
		schematest.Validate(t, o.Schema, o.Value)
		var value map[string]any
		if err := json.Unmarshal(o.Value, &value); err != nil {
			t.Fatalf("output %s: %v", o.ID, err)
		}
		switch o.Stream {
		case enrich.Enriched:
			enrichment, _ := value["enrichment"].(map[string]any) // the schema has it
			tell(h.events, o.ID, enrichment)
		case enrich.CloudTrail:
			tell(h.links, o.ID, value)
		case enrich.Findings:
			rule, _ := value["rule"].(map[string]any)
			name, _ := rule["id"].(string)
			if h.findings[name] == nil {
				h.findings[name] = map[string]*telling{}
			}
			tell(h.findings[name], o.ID, value)
		}
	}
	return h
}

func tell(all map[string]*telling, id string, value map[string]any) {
	if all[id] == nil {
		all[id] = &telling{}
	}
	all[id].last = value
	all[id].times++
}

func (s *Story) compare(t testing.TB, records []record, h *heard) {
	t.Helper()
	for _, w := range s.Want {
		if (len(w.Is) == 0) != w.None || len(slices.DeleteFunc([]string{w.Row, w.Finding, w.Link, w.Call}, func(s string) bool { return s == "" })) != 1 {
			t.Fatalf("a want is of a row, a finding, a link or a call, and of something in it: %+v", w)
		}
		if w.Call != "" {
			s.hold(t, "link of call "+w.Call, &w, h.linked(w.Call))
			continue
		}
		if w.Finding != "" {
			s.finding(t, &w, h.findings[w.Finding])
			continue
		}
		label := w.Row + w.Link
		i := slices.IndexFunc(records, func(r record) bool { return r.label == label })
		if i < 0 {
			t.Fatalf("want of row %q: there is no such row", label)
		}
		id := records[i].id
		if w.Link != "" {
			label, id = "link "+label, s.link(&w, id)
		}
		if w.None {
			if h.events[id] != nil {
				t.Errorf("%s: told, and nobody was to: %s", label, shown(h.events[id].last))
			}
			continue
		}
		s.hold(t, "row "+label, &w, h.events[id])
	}
	for rule := range h.findings {
		if !slices.ContainsFunc(s.Want, func(w Want) bool { return w.Finding == rule }) {
			t.Errorf("finding %s: nobody wants it: %v", rule, slices.Collect(maps.Keys(h.findings[rule])))
		}
	}
}

// link is the id of what a host did in a sensor's record.
func (s *Story) link(w *Want, source string) string {
	host := w.Host
	if host == "" {
		host = s.Host
	}
	l := enrich.Link{Host: enrich.Host(host), Source: source, Responder: w.Responder}
	return l.ID()
}

// finding holds the one finding of a rule to what is wanted of it.
func (s *Story) finding(t testing.TB, w *Want, all map[string]*telling) {
	t.Helper()
	if len(all) > 1 {
		t.Errorf("finding %s: there are %d of it", w.Finding, len(all))
	}
	var one *telling
	for _, one = range all {
		break
	}
	s.hold(t, "finding "+w.Finding, w, one)
}

// hold compares what was told of something with what is wanted.
func (s *Story) hold(t testing.TB, what string, w *Want, got *telling) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: nothing was told of it", what)
		return
	}
	if w.Told != 0 && got.times != w.Told {
		t.Errorf("%s: told %d times, want %d", what, got.times, w.Told)
	}
	for _, wrong := range s.differences("", w.Is, got.last) {
		t.Errorf("%s: %s\ntold: %s", what, wrong, shown(got.last))
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
