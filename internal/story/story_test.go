package story

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

func pipeline() *enrich.Pipeline {
	return enrich.NewPipeline(event.NewLenses(), []enrich.Operator{process.New(process.Config{}, state.NewMemory())}, nil)
}

// said collects what a story finds wrong, in place of a test.
type said struct {
	testing.TB
	wrong []string
}

func (s *said) Helper()                   {}
func (s *said) Errorf(f string, a ...any) { s.wrong = append(s.wrong, f) }

const text = `
story: an event meets the process that had its pid
rows:
  - {id: curl, table: process_events, at: 3, columns: {pid: 103, parent: 102, path: /usr/bin/curl}}
  - {id: call, table: socket_events, at: 4, columns: {pid: 103, remote_address: 198.51.100.7}}
  - {table: processes, at: 60, snapshot: [{pid: 1, start_time: "@-900"}, {pid: 103}]}
  - {again: call}
  - {id: raw, json: '{"name":"q","hostIdentifier":"h","columns":{"a":"1"},"action":"added"}'}
want:
  - {row: raw, is: {event: {dataset: osquery.other}, process: null}}
  - {row: call, is: {"@timestamp": "@4", process: WANT}}
`

func TestAStoryIsHeldToWhatItWants(t *testing.T) {
	for want, right := range map[string]bool{
		`{pid: 103, executable: /usr/bin/curl, start: "@3"}`: true,
		`{pid: 103, ancestors: null}`:                        true,
		`{pid: 104}`:                                         false,
		`{executable: /usr/bin/wget}`:                        false,
		`{start: "@4"}`:                                      false,
		`null`:                                               false,
		`{session: {how: pid}}`:                              false,
		`[{pid: 103}]`:                                       false,
		`{executable: /usr/bin/curl, parent: {pid: 102}}`: false,
	} {
		path := filepath.Join(t.TempDir(), "story.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(text, "WANT", want, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		out := &said{TB: t}
		Load(t, path).Run(out, pipeline())
		if (len(out.wrong) == 0) != right {
			t.Errorf("want %s: found wrong %q", want, out.wrong)
		}
	}
}
