package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// scanTrail scans paths and returns the records that come out, and the summary.
func scanTrail(t *testing.T, args ...string) (records []string, summary string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.ndjson")
	stdout, stderr, code := command(t, "", append([]string{"scan", "--cloudtrail-out", out}, args...)...)
	if code != 0 || stdout != "" {
		t.Fatalf("exit %d, stdout %q: %s", code, stdout, stderr)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), stderr
}

// told is what an enrichment says, without when and where it was read.
func told(t *testing.T, line string) string {
	t.Helper()
	var record struct{ Enrichment map[string]any }
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	delete(record.Enrichment, "evidence")
	if event, ok := record.Enrichment["event"].(map[string]any); ok {
		delete(event, "ingested")
	}
	text, err := json.Marshal(record.Enrichment)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every record of the real files comes out once, valid, and the same whatever order
// the files are read in.
func TestScanOfTheRealCloudTrail(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "cloudtrail")
	lines, summary := scanTrail(t, "--cloudtrail", dir)
	var first []string
	for _, line := range lines {
		schematest.Validate(t, cloudtrail.SchemaEnriched, []byte(line))
		first = append(first, told(t, line))
	}
	for _, words := range []string{"CloudTrail: 447 records of 85 files written, 6 duplicates left out", "unreadable  6", "5 files are named and were not fetched", "other_event 2"} {
		if !strings.Contains(summary, words) {
			t.Errorf("the summary does not say %q:\n%s", words, summary)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	var args, second []string
	for _, file := range files {
		args = append(args, "--cloudtrail", file)
	}
	lines, _ = scanTrail(t, args...)
	for _, line := range lines {
		second = append(second, told(t, line))
	}
	slices.Sort(first)
	slices.Sort(second)
	if !slices.Equal(first, second) {
		t.Error("the order of the files changes what is told")
	}
}

const story = "../../pkg/enrich/cloudtrail/testdata/story.json"

func TestScanTellsWhoIsBehindACall(t *testing.T) {
	feed := write(t, "mine.txt", "203.0.113.80\n203.0.113.0/24\n")
	config := write(t, "enricher.yaml", "feeds:\n  - {name: own, path: "+feed+", allow_private: true}\n"+
		"labels:\n  buckets: [{id: amzn-s3-demo-bucket, labels: [sensitive], owner: sales}]\n  images: [{id: ami-0abcdef1234567890, labels: [trusted]}]\n")
	lines, summary := scanTrail(t, "--config", config, "--cloudtrail", story)
	i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, `"eventID":"get"`) })
	if i < 0 {
		t.Fatalf("the call is missing in %d records", len(lines))
	}
	for _, words := range []string{
		`"instance":{"id":"i-0317f6c6b66ae9c40"}`, `"proof":"role_delivery"`, `"by":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/anaya"`,
		`"via":"AssumeRole"`, `"matched":{"atomic":"203.0.113.80","field":"source.ip"`, `"bytes_out":4096`,
		`"labels":[{"kind":"image","id":"ami-0abcdef1234567890","labels":["trusted"]},{"kind":"bucket","id":"amzn-s3-demo-bucket","labels":["sensitive"],"owner":"sales"}]`, `"line":7,"record":6`,
	} {
		if !strings.Contains(lines[i], words) {
			t.Errorf("no %s in %s", words, lines[i])
		}
	}
	for _, line := range lines {
		if strings.Contains(line, "EXAMPLETOKEN") {
			t.Errorf("a session token came out: %s", line)
		}
	}
	if !strings.Contains(summary, "instance_forgeable 2") || !strings.Contains(summary, "matches     4") || !strings.Contains(summary, "own: 2 indicators") {
		t.Errorf("summary:\n%s", summary)
	}
}

func TestScanReadsBothKindsOfFiles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.ndjson")
	stdout, stderr, code := command(t, connect, "scan", "--cloudtrail", story, "--cloudtrail-out", out, "-")
	if code != 0 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, "CloudTrail: ") || !strings.Contains(stderr, "1 rows") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestScanFindsCloudTrailsFilesInFolders(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile(story)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"AWSLogs/1/CloudTrail/eu-west-1/2026/11/23/a.json": string(text), "AWSLogs/1/CloudTrail-Digest/d.json": `{"digestS3Bucket":"b"}`,
		".hidden": "words", "out.ndjson": `{"eventID":"of an earlier scan","eventName":"x"}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, stderr, code := command(t, "", "scan", "--cloudtrail", dir, "--cloudtrail-out", filepath.Join(dir, "out.ndjson"))
	if code != 0 || !strings.Contains(stderr, "of 1 file written, 0 duplicates") || !strings.Contains(stderr, "unreadable  0") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestScanOfCloudTrailRefusesInWords(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for name, c := range map[string]struct {
		args  []string
		words string
	}{
		"no output":     {[]string{"--cloudtrail", story}, "--cloudtrail and --cloudtrail-out need each other"},
		"no input":      {[]string{"--cloudtrail-out", out}, "--cloudtrail and --cloudtrail-out need each other"},
		"no such path":  {[]string{"--cloudtrail", "no.such", "--cloudtrail-out", out}, "no.such"},
		"nothing there": {[]string{"--cloudtrail", t.TempDir(), "--cloudtrail-out", out}, "there is no file in"},
		"no such place": {[]string{"--cloudtrail", story, "--cloudtrail-out", filepath.Join(out, "x")}, "--cloudtrail-out: "},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := command(t, connect, append([]string{"scan"}, c.args...)...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, c.words) {
				t.Errorf("exit %d, stdout %q, stderr %q; want 1 and %q", code, stdout, stderr, c.words)
			}
		})
	}
}

func TestAnInterruptedScanOfCloudTrailSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"scan", "--cloudtrail", story, "--cloudtrail-out", filepath.Join(t.TempDir(), "out")}, streams{strings.NewReader(""), &stdout, &stderr})
	if code != 1 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}
