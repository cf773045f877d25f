package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each flag is one line, given once, and told of in the page, whose block is the
// file.
func TestTheFlagFileIsWhatThePageExplains(t *testing.T) {
	page, file := readFile(t, "docs/osquery.md"), readFile(t, "examples/osquery.flags")
	if !strings.Contains(page, "```\n"+file+"```") {
		t.Error("docs/osquery.md does not show examples/osquery.flags as it is")
	}
	table := page[strings.Index(page, "| flag |"):]
	table = table[:strings.Index(table, "\n\n")]
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSuffix(file, "\n"), "\n") {
		flag := regexp.MustCompile(`^--([a-z_]+)=[A-Za-z0-9/._,-]+$`).FindStringSubmatch(line)
		if flag == nil || seen[flag[1]] {
			t.Errorf("line %q is no flag, or a second one", line)
			continue
		}
		seen[flag[1]] = true
		if !strings.Contains(table, "`"+flag[1]) {
			t.Errorf("docs/osquery.md does not say why %s", flag[1])
		}
	}
	for _, want := range []string{"--logger_event_type=false\n", "--logger_plugin=stackjoin\n", "--extensions_require=stackjoin\n"} {
		if !strings.Contains(file, want) {
			t.Errorf("examples/osquery.flags lacks %q", want)
		}
	}
}

// osquery hides eid from SELECT *, so that a query of an event table must name it.
func TestQueriesOfEventTablesNameEID(t *testing.T) {
	type queries map[string]struct {
		Query    string
		Interval int
	}
	var conf struct {
		Schedule queries
		Packs    map[string]struct{ Queries queries }
	}
	if err := json.Unmarshal([]byte(readFile(t, "examples/osquery.conf")), &conf); err != nil {
		t.Fatal(err)
	}
	events := 0
	check := func(all queries) {
		for name, q := range all {
			if q.Interval <= 0 || !strings.HasSuffix(q.Query, ";") {
				t.Errorf("%s: %+v", name, q)
			}
			if strings.Contains(q.Query, "_events") {
				events++
				if !regexp.MustCompile(`\beid\b`).MatchString(q.Query) {
					t.Errorf("%s does not name eid", name)
				}
			}
		}
	}
	check(conf.Schedule)
	for _, pack := range conf.Packs {
		check(pack.Queries)
	}
	if events == 0 || len(conf.Packs) == 0 {
		t.Error("no event table or no pack is shown")
	}
}
