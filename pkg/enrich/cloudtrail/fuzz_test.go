package cloudtrail

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

func FuzzDecode(f *testing.F) {
	row := `{"name":"q","columns":{"event_name":"n","user_identity":"{}","resources":"[]"},"action":"added"}`
	for _, seed := range []string{
		record("a"), pretty("a"), `{"Records":[` + record("a") + `,{"x":tru}]}`, zip(logsPayload(record("a"), "x")), s3Notice, row,
		`{"awslogs":{"data":"H4sI"}}`, `{"Type":"Notification","Message":"{}"}`, `[[[{"Events":[{"CloudTrailEvent":"{"}]}]]]`, "\xef\xbb\xbf{", "\x1f\x8b\x08",
		`{"eventID":1,"eventName":"x","userIdentity":[],"eventTime":9e9,"resources":{},"responseElements":{"credentials":{"sessionToken":"s"}}}`,
	} {
		f.Add([]byte(seed))
	}
	text, err := os.ReadFile("testdata/story.json")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var first, second []string
		collect := func(words *[]string) func(Found) error {
			return func(f Found) error {
				*words = append(*words, word(f))
				if f.Record != nil {
					check(t, f.Record)
				}
				return nil
			}
		}
		limits := Limits{Value: 1 << 20, Inflated: 1 << 20}
		if err := Decode(text, limits, collect(&first)); err != nil {
			t.Fatal(err)
		}
		if err := Read(iotest.HalfReader(bytes.NewReader(text)), limits, collect(&second)); err != nil {
			t.Fatal(err)
		}
		if strings.Join(first, " ") != strings.Join(second, " ") {
			t.Errorf("Decode finds %q, Read %q", first, second)
		}
		var d Decoder
		for range 2 { // the second in the memory of the first
			var again []string
			if err := d.Decode(text, limits, collect(&again)); err != nil || !slices.Equal(again, first) {
				t.Errorf("Decode finds %q, a Decoder %q: %v", first, again, err)
			}
		}
		if len(first) == 0 && len(bytes.Trim(text, " \t\r\n,[]{}\xef\xbb\xbf\":Recods")) > 0 && !gzipped(text) {
			t.Errorf("nothing is told of %q", text)
		}
	})
}

// check holds what any record must keep.
func check(t *testing.T, r *Record) {
	t.Helper()
	out, _, err := appendRedacted(nil, r.Raw)
	if err != nil {
		t.Fatalf("a record that parses is not copied: %v", err)
	}
	if _, err := Parse(out); err != nil {
		t.Errorf("the copy of %s is no record: %v", r.Raw, err)
	}
	if r.plain && !bytes.Equal(out, r.Raw) {
		t.Errorf("%s has secrets and is plain", r.Raw)
	}
	if again, paths, _ := appendRedacted(nil, out); !bytes.Equal(again, out) || len(paths) > 0 {
		t.Errorf("the copy %s is redacted again to %s: %q", out, again, paths)
	}
	table := NewTable(4)
	for _, f := range Extract(nil, r) {
		table.Add(f)
	}
	e := &Enricher{Facts: table}
	line, _, err := e.Append(nil, r, Place{Position: enrich.Position{File: "f", Line: 1}}, r.Time)
	if err != nil || !json.Valid(line) || bytes.ContainsAny(line, "\n\r") {
		t.Errorf("%s is written as %s (%v)", r.Raw, line, err)
	}
}

// However a text is scrubbed, what is left is scrubbed already, and secrets of JSON
// are masked at every level of text within text.
func FuzzScrub(f *testing.F) {
	f.Add("tok", 0)
	f.Add("a\\\"b\\\\", 3)
	f.Add("\\", 2)
	f.Fuzz(func(t *testing.T, secret string, level int) {
		head, value, tail := `{"sessionToken":`, quote("s3cr3t"+secret), `,"n":1}`
		closing := `"`
		for range level & 3 {
			whole := quote(head + value + tail)
			head, closing, tail = strings.TrimSuffix(quote(head), `"`), inside(closing), strings.TrimPrefix(quote(tail), `"`)
			value = strings.TrimSuffix(strings.TrimPrefix(whole, head), tail)
		}
		text, want := head+value+tail, head+closing+Redacted+closing+tail
		out := string(AppendScrubbed(nil, []byte(text)))
		if out != want {
			t.Errorf("%s becomes %s, want %s", text, out, want)
		}
		if again := string(AppendScrubbed(nil, []byte(out))); again != out {
			t.Errorf("%s becomes %s", out, again)
		}
	})
}

// inside is a text as it stands between the quotes of another.
func inside(text string) string {
	return strings.Trim(quote("|"+text+"|"), `"`)[1 : len(quote(text))-1]
}
