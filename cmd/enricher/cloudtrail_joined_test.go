package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// attacked are the rows of the instance in story: a shell by SSM, and the aws that it
// started.
const attacked = `{"name":"ec2_instance_metadata","hostIdentifier":"web-1","unixTime":1795428300,"columns":{"instance_id":"i-0317f6c6b66ae9c40","instance_type":"t3.micro","region":"eu-west-1","account_id":"111122223333","ami_id":"ami-0abcdef1234567890"},"action":"added"}
{"name":"process_events","hostIdentifier":"web-1","unixTime":1795428230,"columns":{"pid":"800","parent":"1","path":"/usr/bin/ssm-session-worker","cmdline":"/usr/bin/ssm-session-worker anaya-0123456789abcdef0","uid":"0","auid":"","time":"1795428230"},"action":"added"}
{"name":"process_events","hostIdentifier":"web-1","unixTime":1795428231,"columns":{"pid":"801","parent":"800","path":"/usr/bin/bash","cmdline":"sh","uid":"1001","auid":"","time":"1795428231"},"action":"added"}
{"name":"process_events","hostIdentifier":"web-1","unixTime":1795428238,"columns":{"pid":"802","parent":"801","path":"/usr/bin/aws","cmdline":"aws s3 cp s3://amzn-s3-demo-bucket/customers.csv .","uid":"1001","auid":"","time":"1795428238"},"action":"added"}
`

// Rows and records meet in one scan: rows get their instance and principal, the call
// its process.
func TestScanJoinsRowsWithCloudTrail(t *testing.T) {
	dir := t.TempDir()
	out, findings := filepath.Join(dir, "cloudtrail.ndjson"), filepath.Join(dir, "findings.ndjson")
	stdout, stderr, code := command(t, attacked, "scan", "--cloudtrail", story, "--cloudtrail-out", out, "--findings", findings, "-")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	rows := strings.Split(strings.TrimSpace(stdout), "\n")
	last := rows[len(rows)-1]
	for _, words := range []string{
		`"instance":{"id":"i-0317f6c6b66ae9c40"}`, `"proof":"metadata"`, `"by":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/anaya"`,
		`"how":"ssm_session","status":"attributed"`,
	} {
		if !strings.Contains(last, words) {
			t.Errorf("no %s in %s", words, last)
		}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var record struct {
			Schema string
			Event  struct{ Action string }
			Link   struct{ Status string }
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record.Schema != cloud.SchemaLink {
			schematest.Validate(t, cloudtrail.SchemaEnriched, []byte(line))
			continue
		}
		links++
		schematest.Validate(t, cloud.SchemaLink, []byte(line))
		if want := map[string]string{"GetObject": "attributed", "GetSecretValue": "none"}[record.Event.Action]; record.Link.Status != want {
			t.Errorf("link of %s is %q, want %q: %s", record.Event.Action, record.Link.Status, want, line)
		}
	}
	if links != 2 || !strings.Contains(stderr, "links       2 ") {
		t.Errorf("%d links, summary:\n%s", links, stderr)
	}
	for _, o := range []string{string(text), stdout} {
		if strings.Contains(o, "EXAMPLETOKEN") {
			t.Error("a session token came out")
		}
	}
}
