package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// command runs the program and returns what it wrote and its exit code.
func command(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, streams{strings.NewReader(stdin), &out, &errs})
	if strings.Contains(errs.String(), "goroutine ") {
		t.Errorf("a stack trace on standard error:\n%s", errs.String())
	}
	return out.String(), errs.String(), code
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const connect = `{"name":"socket_events","hostIdentifier":"h","unixTime":1760000010,"columns":{"action":"connect","pid":"7","path":"/bin/x",` +
	`"remote_address":"198.18.0.9","remote_port":"443","time":"1760000005"},"action":"added"}`

const started = `{"name":"process_events","hostIdentifier":"h","unixTime":1760000010,"columns":{"pid":"7","parent":"1","path":"/bin/x","cmdline":"x",` +
	`"syscall":"execve","auid":"0","time":"1760000004"},"action":"added"}`

// captured is the result lines of one captured session of osqueryd.
func captured(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	for line := range bytes.Lines(testdata.Read(t, path)) {
		var call struct{ Type, Log string }
		if err := json.Unmarshal(line, &call); err != nil {
			t.Fatal(err)
		}
		if call.Type == "string" || call.Type == "snapshot" {
			b.WriteString(call.Log + "\n")
		}
	}
	return write(t, filepath.Base(path), b.String())
}

// rowsOf are the records that a file's lines make, as they were: envelope and
// columns before anything was added.
func rowsOf(t *testing.T, path string) (rows []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var raw struct {
			Columns     json.RawMessage
			DiffResults struct{ Removed, Added []json.RawMessage }
			Snapshot    []json.RawMessage
		}
		if err := json.Unmarshal(line, &raw); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list := append(append(raw.DiffResults.Removed, raw.DiffResults.Added...), raw.Snapshot...)
		switch {
		case raw.Columns != nil:
			list = append(list, raw.Columns)
		case len(list) == 0:
			list = append(list, nil) // an empty result is one record
		}
		for _, columns := range list {
			rows = append(rows, string(columns))
		}
	}
	return rows
}

// Promise 9 on real input: every row of the real logs comes out exactly once, in
// order, its columns byte for byte, with the real feeds.
func TestScanOfTheRealLogs(t *testing.T) {
	data := testdata.Dir(t)
	files := []string{
		filepath.Join(data, "osquery/osqueryd.results.log"), filepath.Join(data, "osquery/osqueryd.snapshots.log"),
		captured(t, "osquery/captured/s_batch.jsonl"), captured(t, "osquery/captured/s_events.jsonl"),
		captured(t, "osquery/captured/s_numeric.jsonl"), captured(t, "osquery/captured/s_snapev.jsonl"),
	}
	args := []string{
		"scan", "--feed", filepath.Join(data, "feeds/ipsum.txt"), "--feed", filepath.Join(data, "feeds/firehol_level1.netset"),
		"--feed", "feodo=" + filepath.Join(data, "feeds/ipblocklist.csv"),
	}
	var want []string
	for _, f := range files {
		want = append(want, rowsOf(t, f)...)
	}
	stdout, stderr, code := command(t, "", append(args, files...)...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d rows came out of %d\n%s", len(lines), len(want), stderr)
	}
	for i, line := range lines {
		if got := columnsOf(t, line); got != want[i] {
			t.Fatalf("row %d has the columns\n%s\nwant\n%s", i, got, want[i])
		}
	}
	for _, words := range []string{fmt.Sprintf("%d rows,", len(want)), "matches", "gaps", "rows refused", "ipsum", "firehol_level1", "ipblocklist"} {
		if !strings.Contains(stderr, words) {
			t.Errorf("the summary does not say %q:\n%s", words, stderr)
		}
	}
}

// columnsOf is the columns member's own bytes.
func columnsOf(t *testing.T, line string) string {
	t.Helper()
	var raw struct{ Columns json.RawMessage }
	if err := json.Unmarshal([]byte(line), &raw); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return string(raw.Columns)
}

func TestScanJoinsAndMatches(t *testing.T) {
	feed := write(t, "mine.txt", "# test\n45.0.0.9\n")
	input := started + "\n" + strings.ReplaceAll(connect, "198.18.0.9", "45.0.0.9") + "\n"
	stdout, stderr, code := command(t, input, "scan", "--feed", feed)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	last := stdout[strings.Index(stdout, "socket_events"):]
	for _, words := range []string{`"executable":"/bin/x"`, `"indicator":{"type":"ipv4-addr"`, `"field":"destination.ip"`, `"name":"mine"`} {
		if !strings.Contains(last, words) {
			t.Errorf("no %s in %s", words, last)
		}
	}
	if !strings.Contains(stderr, "matches     1") {
		t.Errorf("summary:\n%s", stderr)
	}
}

func TestScanWritesToOutAndUsesAConfiguration(t *testing.T) {
	feed := write(t, "mine.txt", "45.0.0.9\n")
	config := write(t, "enricher.yaml", "feeds:\n  - {name: own, path: "+feed+"}\n")
	out := filepath.Join(t.TempDir(), "out.ndjson")
	stdout, stderr, code := command(t, connect, "scan", "--config", config, "--out", out, "-")
	text, err := os.ReadFile(out)
	if code != 0 || stdout != "" || err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(stderr, "own: 1 indicators") {
		t.Errorf("exit %d, stdout %q, out %q (%v)\n%s", code, stdout, text, err, stderr)
	}
}

// Bad input: each is a sentence that names what is wrong, and exit code 1.
func TestScanRefusesInWords(t *testing.T) {
	html := write(t, "page.txt", "<!DOCTYPE html><html><body>404</body></html>\n")
	wrong := write(t, "wrong.yaml", "grupo: x\n")
	for name, c := range map[string]struct {
		args  []string
		words string
	}{
		"--cloudtrail":   {[]string{"--cloudtrail", "x"}, "--cloudtrail and --cloudtrail-out need each other"},
		"missing sensor": {[]string{"--sensor", "no.such.conn.log"}, "no.such.conn.log"},
		"missing file":   {[]string{"no.such.log"}, "no.such.log"},
		"missing feed":   {[]string{"--feed", "no.such.feed"}, "no.such.feed"},
		"HTML feed":      {[]string{"--feed", html}, "HTML"},
		"unknown preset": {[]string{"--feed", "nope=" + html}, `"nope" is not one of lines, csv`},
		"unknown key":    {[]string{"--config", wrong}, "wrong.yaml:1: grupo"},
		"unknown flag":   {[]string{"--nope"}, "unknown flag: --nope"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := command(t, connect, append([]string{"scan"}, c.args...)...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, c.words) {
				t.Errorf("exit %d, stdout %q, stderr %q; want 1 and %q", code, stdout, stderr, c.words)
			}
		})
	}
}

func TestScanTellsUnreadableLinesAndGoesOn(t *testing.T) {
	stdout, stderr, code := command(t, "no json\n"+connect+"\n", "scan")
	if code != 0 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, "-:1: left out: ") || !strings.Contains(stderr, "unreadable  1 line") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if rows, err := event.SplitResult([]byte(connect)); err != nil || rows.Len() != 1 {
		t.Fatalf("the good line is none: %v", err)
	}
}

// Bad input: what an attacker wrote reaches a terminal with its control
// characters shown, not obeyed.
func TestControlCharactersDoNotReachTheTerminal(t *testing.T) {
	stdout, stderr, code := command(t, "\x1b[31m{\x07\n"+strings.Replace(connect, "/bin/x", "/bin/\x1b[2J", 1)+"\n", "scan")
	if code != 0 || strings.ContainsAny(stdout+stderr, "\x1b\x07") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// What did not come is a finding: it goes to --findings and never among the rows.
func TestScanWritesFindingsApart(t *testing.T) {
	dir := t.TempDir()
	row := func(seq int, prev string) string {
		return fmt.Sprintf(`{"name":"q","hostIdentifier":"h","unixTime":1760000000,"columns":{"a":"1"},"action":"added","delivery":{"agent":"0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001",`+
			`"run":"00112233445566aa","seq":%d,"row":0,"rows":1,"prev":%s,"spooled":"2025-10-09T08:53:20.000Z"}}`, seq, prev)
	}
	rows := filepath.Join(dir, "rows.ndjson")
	lines := row(1, "null") + "\n" + row(3, `"00112233445566aa/2"`) + "\n" + row(1, "null") + "\n"
	if err := os.WriteFile(rows, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	findings := filepath.Join(dir, "findings.ndjson")
	var out, errs strings.Builder
	if code := run(context.Background(), []string{"scan", "--findings", findings, rows}, streams{strings.NewReader(""), &out, &errs}); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d rows of 2 came out, one was there twice: %s", n, out.String())
	}
	told, err := os.ReadFile(findings)
	if err != nil || strings.Count(string(told), "\n") != 1 || !strings.Contains(string(told), `"telemetry_gap"`) {
		t.Errorf("findings %s, error %v", told, err)
	}
	if !strings.Contains(errs.String(), "findings    1") {
		t.Errorf("the summary does not count it: %s", errs.String())
	}
}

// What met a list is a finding with the process, also of a row that came before it.
func TestScanRaisesFindingsOfMatches(t *testing.T) {
	feed, rows := write(t, "list.txt", "198.51.100.23\n"), write(t, "rows.log", strings.ReplaceAll(connect, "198.18.0.9", "198.51.100.23")+"\n"+started+"\n")
	findings := filepath.Join(t.TempDir(), "findings.ndjson")
	config := write(t, "enricher.yaml", "feeds:\n  - {name: list, path: "+feed+", allow_private: true, confidence: 90}\n"+
		"suppressions:\n  - {host: h, owner: ada, reason: exercise, expires: 2027-01-01}\n")
	if _, errs, code := command(t, "", "scan", "--config", config, "--findings", findings, rows); code != 0 {
		t.Fatal(errs)
	}
	told, err := os.ReadFile(findings)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(told)), "\n")
	for _, want := range []string{`"status":"suppressed"`, `"id":"match_address"`, `"severity":"high"`, `"revision":1`, `"count":1`, `"command_line":"x"`, "Suppressed for ada"} {
		if !strings.Contains(lines[len(lines)-1], want) {
			t.Errorf("no %s in %s", want, lines[len(lines)-1])
		}
	}
	for _, line := range lines {
		schematest.Validate(t, "stackjoin.finding/1", []byte(line))
	}
}
