package cloudtrail

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/testdata"
)

// tally counts what was found.
type tally struct{ records, objects, skipped, refused int }

// find decodes text as a file and copies what is in it.
func find(t testing.TB, text []byte) (tally, []*Record) {
	t.Helper()
	var n tally
	var records []*Record
	err := Read(bytes.NewReader(text), Limits{}, func(f Found) error {
		switch {
		case f.Record != nil:
			n.records++
			r, err := Parse(bytes.Clone(f.Record.Raw))
			if err != nil {
				t.Fatalf("a record does not parse twice: %v", err)
			}
			records = append(records, r)
		case f.Object != nil:
			n.objects++
		case f.Skipped != "":
			n.skipped++
		default:
			n.refused++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, records
}

func TestNoRecordOfTheRealFilesIsLost(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "cloudtrail")
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) < 80 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	// What is no single record: SOURCES.md says why.
	want := map[string]tally{
		"cwl_awslogs_lambda_event_awslambdago.json":       {refused: 2}, // two lines of plain text
		"cwl_subscription_payload_awsdocs.json":           {refused: 3}, // cut JSON in each message
		"eventbridge_asg_launch_failed_c7n.json":          {skipped: 1},
		"eventbridge_instance_state_c7n.json":             {skipped: 1},
		"eventbridge_s3_object_created_powertools.json":   {objects: 1},
		"s3_notification_gravwell.json":                   {objects: 1},
		"sns_cloudtrail_notification_gravwell.json":       {objects: 1},
		"sns_s3_notification_gravwell.json":               {objects: 1},
		"sqs_s3_notification_powertools.json":             {objects: 1},
		"sqs_sns_envelope_powertools.json":                {refused: 1}, // its body is not CloudTrail's
		"records_file_s3_delivery_dynatrace.json":         {records: 2},
		"ec2_proxy_s3_exfiltration_2020-09-14011940.json": {records: 103},
	}
	stratus := 0
	ids := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, records := find(t, text)
		name := filepath.Base(file)
		if filepath.Base(filepath.Dir(file)) == "stratus" {
			stratus += got.records
			for _, r := range records {
				ids[r.ID()] = true
			}
			if got.objects+got.skipped+got.refused > 0 || got.records == 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		expected, listed := want[name]
		if !listed {
			expected = tally{records: 1}
		}
		if got != expected {
			t.Errorf("%s: %+v, want %+v", name, got, expected)
		}
	}
	if stratus != 310 || len(ids) != 310 {
		t.Errorf("%d records with %d ids in the Stratus set, want 310", stratus, len(ids))
	}
}

func TestOddRealDataIsKeptAndMarked(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "cloudtrail")
	files, _ := filepath.Glob(filepath.Join(dir, "stratus", "*.json"))
	zeros, regions, cases := 0, map[string]bool{}, map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, records := find(t, text)
		for _, r := range records {
			if r.Time.IsZero() || r.TimeSource != TimeEvent || r.EventID == "" || r.TLS.Version == "" {
				t.Errorf("%s: time %v of %s, TLS %+v", r.EventID, r.Time, r.TimeSource, r.TLS)
			}
			if slices.Contains(r.Odd, "source_address") {
				zeros++
				if r.Source.Kind != SourceInvalid || r.Source.Addr.IsValid() || r.Source.Text == "" {
					t.Errorf("an odd source became %+v", r.Source)
				}
			}
			if slices.Contains(r.Odd, "region") {
				regions[r.Region] = true
			}
			if slices.Contains(r.Odd, "instance_case") {
				cases[r.Identity.SessionName()] = true
			}
		}
	}
	if zeros != 107 || len(regions) != 34 {
		t.Errorf("%d odd addresses, want 107; %d odd regions, want 34", zeros, len(regions))
	}
	_, records := find(t, testdata.Read(t, "cloudtrail/otrf/ec2_proxy_s3_exfiltration_2020-09-14011940.json"))
	bytesOut := 0
	for _, r := range records {
		if r.TimeSource != TimeTimestamp || r.Time.Year() != 2020 {
			t.Errorf("%s: %v of %s", r.EventID, r.Time, r.TimeSource)
		}
		if r.Additional.HasBytes {
			bytesOut++
		}
	}
	if bytesOut != 9 {
		t.Errorf("%d records tell what they moved, want 9", bytesOut)
	}
}

func TestNoSecretOfTheRealFilesLeaves(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "cloudtrail")
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, records := find(t, text)
		for _, r := range records {
			if !bytes.Contains(r.Raw, []byte("sessionToken")) {
				continue
			}
			seen++
			out, paths, err := appendRedacted(nil, r.Raw)
			if err != nil || !slices.Contains(paths, "responseElements.credentials.sessionToken") || strings.Contains(string(out), `"REDACTED"`) && !strings.Contains(string(r.Raw), `"accessKeyId": "REDACTED"`) {
				t.Errorf("%s: %v %v %s", file, paths, err, out)
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d records have a token", seen)
	}
}
