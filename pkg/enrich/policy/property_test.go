package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/policy"
)

// input is a row of one host.
type input struct {
	host, value string
	offset      int64
}

func drawRows(t *rapid.T, host string) (rows []input) {
	at := time.Duration(0)
	for i := range rapid.IntRange(0, 25).Draw(t, "rows of "+host) {
		at += time.Duration(rapid.IntRange(0, 90).Draw(t, "pause")) * time.Second
		when := start.Add(11*time.Hour + 50*time.Minute + at).Unix() // over midnight
		pid, path := rapid.IntRange(1, 3).Draw(t, "pid"), rapid.SampledFrom([]string{"/a", "/b"}).Draw(t, "path")
		columns, table := fmt.Sprintf(`"pid":"%d","path":"%s","parent":"1","cmdline":"x 198.51.100.2"`, pid, path), "process_events"
		if rapid.Bool().Draw(t, "socket") {
			table = "socket_events"
			columns = fmt.Sprintf(`"action":"%s","pid":"%d","path":"%s","remote_address":"198.51.100.%d","remote_port":"4","status":"succeeded"`,
				rapid.SampledFrom([]string{"connect", "accept"}).Draw(t, "action"), pid, path, rapid.IntRange(1, 3).Draw(t, "address"))
		}
		rows = append(rows, input{host, fmt.Sprintf(`{"name":%q,"hostIdentifier":%q,"unixTime":%d,"action":"added","columns":{"time":"%d",%s}}`,
			table, host, when, when, columns), int64(i)})
	}
	return rows
}

// final runs rows through a desk, which may be restarted in between, and returns the
// last of each finding, without what may differ.
func final(t *rapid.T, d *desk, rows []input, restarts func(i int) bool) map[string]string {
	last, revisions := map[string]string{}, map[string]int64{}
	collect := func() {
		for _, o := range d.out.Outputs {
			if o.Stream != enrich.Findings {
				continue
			}
			var f map[string]any
			if err := json.Unmarshal(o.Value, &f); err != nil {
				t.Fatal(err)
			}
			e := f["event"].(map[string]any)
			revision, known := revisions[o.ID]
			if n := int64(e["revision"].(float64)); known && n != revision+1 || !known && n != 0 {
				t.Fatalf("revision %d after %d", n, revision)
			}
			revisions[o.ID] = int64(e["revision"].(float64))
			delete(e, "ingested")
			delete(e, "revision")
			text, _ := json.Marshal(f)
			last[o.ID] = string(text)
		}
		d.out.Reset()
	}
	reread := func(_ context.Context, topic string, from int64, visit func(enrich.Input) error) error {
		for i := range rows {
			if in := rows[i].input(); in.Position.Topic == topic && rows[i].offset >= from && rows[i].offset < d.offset {
				if err := visit(in); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for i := range rows {
		if restarts(i) {
			d.restart()
			if err := d.pipeline.Resume(context.Background(), reread); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.pipeline.Process(context.Background(), rows[i].input(), &d.out); err != nil {
			t.Fatal(err)
		}
		if err := d.pipeline.Seal(); err != nil {
			t.Fatal(err)
		}
		d.offset = rows[i].offset + 1
		collect()
	}
	if err := d.pipeline.Finish(context.Background(), &d.out); err != nil {
		t.Fatal(err)
	}
	collect()
	return last
}

func (i *input) input() enrich.Input {
	return enrich.Input{Value: []byte(i.value), Position: enrich.Position{Topic: "t", Offset: i.offset}}
}

// However the hosts of a partition interleave and whenever it restarts, each finding
// ends the same, and its revisions have no holes.
func TestFindingsEndTheSameHoweverHostsInterleaveAndWhateverRestarts(t *testing.T) {
	const list = "198.51.100.1\n198.51.100.2\n"
	base := open(t, policy.Config{}, 80, list)
	fresh := func() *desk {
		d := open(t, policy.Config{}, 80)
		d.store = base.store
		d.restart()
		return d
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drawRows(rt, "a"), drawRows(rt, "b")
		want := final(rt, fresh(), a, func(int) bool { return false })
		maps.Copy(want, final(rt, fresh(), shift(b, int64(len(a))), func(int) bool { return false }))
		// The same rows, at the same offsets for their ids, in another order of hosts.
		var mixed []input
		for len(a)+len(b) > 0 {
			if len(b) == 0 || len(a) > 0 && rapid.Bool().Draw(rt, "a first") {
				mixed, a = append(mixed, a[0]), a[1:]
			} else {
				mixed, b = append(mixed, b[0]), b[1:]
			}
		}
		restartAt := rapid.IntRange(0, max(0, len(mixed)-1)).Draw(rt, "restart")
		got := final(rt, fresh(), renumber(mixed), func(i int) bool { return i == restartAt })
		if len(got) != len(want) {
			rt.Fatalf("%d findings, want %d", len(got), len(want))
		}
		for id, text := range want {
			if plain(rt, got[id]) != plain(rt, text) {
				rt.Fatalf("%s\n got %s\nwant %s", id, got[id], text)
			}
		}
	})
}

func shift(rows []input, by int64) []input {
	for i := range rows {
		rows[i].offset += by
	}
	return rows
}

func renumber(rows []input) []input {
	for i := range rows {
		rows[i].offset = int64(i)
	}
	return rows
}

// plain is a finding without what goes by offsets, which stand for names here.
func plain(t *rapid.T, text string) string {
	var f map[string]any
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	for _, e := range f["evidence"].([]any) {
		for _, name := range []string{"id", "offset"} {
			delete(e.(map[string]any), name)
		}
	}
	strip(f)
	out, _ := json.Marshal(f)
	return string(out)
}

// strip drops ids of processes, which are made of positions.
func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "entity_id")
		for _, o := range v {
			strip(o)
		}
	case []any:
		for _, o := range v {
			strip(o)
		}
	}
}
