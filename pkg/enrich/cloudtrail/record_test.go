package cloudtrail

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/geo"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

func parsed(t testing.TB, text string) *Record {
	t.Helper()
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSourcesAreToldApart(t *testing.T) {
	for text, want := range map[string]SourceKind{
		"198.51.100.7": SourceAddress, "2001:db8::7": SourceAddress, "::ffff:198.51.100.7": SourceAddress, "10.0.1.5": SourceAddress,
		"ec2.amazonaws.com": SourceService, "s3.cn-north-1.amazonaws.com.cn": SourceService, "AWS Internal": SourceInternal,
		"251.234.045.249": SourceInvalid, "08.1.250.216": SourceInvalid, "0.0.0.0": SourceInvalid, "...": SourceInvalid, "amazonaws.com.evil.example": SourceInvalid,
		"": SourceNone,
	} {
		s := sourceOf(text)
		if s.Kind != want || s.Text != text || s.Addr.IsValid() != (want == SourceAddress) || s.Addr.Is4In6() {
			t.Errorf("%q is %+v, want %s", text, s, want)
		}
	}
}

func TestServicesAreToldFromPrincipals(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}`:                     "ec2.amazonaws.com",
		`{"type":"AWSService","invokedBy":"AWS Internal"}`:                          "AWS Internal",
		`{"type":"AssumedRole","arn":"a","invokedBy":"autoscaling.amazonaws.com"}`:  "autoscaling.amazonaws.com",
		`{"type":"IAMUser","userName":"ann","invokedBy":"AWS Internal"}`:            "", // ann's own call, passed on within AWS
		`{"type":"IAMUser","userName":"ann","accountId":123456789012}`:              "",
		`{"type":"Root","sessionContext":{"attributes":{"mfaAuthenticated":true}}}`: "",
	} {
		if id := identityOf(nodeOf([]byte(text)), &known{}); id.Service() != want {
			t.Errorf("%s is made by %q, want %q", text, id.Service(), want)
		}
	}
}

func TestTimesInEveryForm(t *testing.T) {
	want := time.Date(2025, 2, 19, 20, 13, 49, 0, time.UTC)
	for _, text := range []string{
		`"2025-02-19T20:13:49Z"`, `"2025-02-19T22:13:49+02:00"`, `"2025-02-19 20:13:49"`, `"2025-02-19 20:13:49.000000000"`, `"2025-02-19T20:13:49"`,
		`"Feb 19, 2025, 8:13:49 PM"`, `"Feb 19, 2025 8:13:49 PM"`, `"2025-02-19T20:13:49.000+0000"`, `1739996029000`, `"1739996029"`,
	} {
		got, usual, ok := when(nodeOf([]byte(text)))
		if !ok || !got.Equal(want) || got.Location() != time.UTC || usual != (text[1] == '2' && strings.Contains(text, "T2") && !strings.Contains(text, "+0000") && len(text) > 21) {
			t.Errorf("%s is %v (usual %v, ok %v)", text, got, usual, ok)
		}
	}
	for _, text := range []string{`""`, `null`, `"foo"`, `{}`, `0`, `"0001-01-01T00:00:00Z"`, `"9999-01-01T00:00:00Z"`, `true`} {
		if got, _, ok := when(nodeOf([]byte(text))); ok {
			t.Errorf("%s is %v", text, got)
		}
	}
}

func TestOddRecordsAreKeptAndMarked(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`: {"time_missing", "event_id_missing", "event_name_missing", "identity_missing"},
		`{"eventID":"e","eventName":"n","eventTime":"2025-02-19 20:13:49","eventVersion":"2.0","recipientAccountId":12345,"awsRegion":"us-north-2r","sourceIPAddress":"1.02.3.4","userIdentity":{"type":"Root"}}`: {"account_number", "time_form", "version", "source_address", "region", "account"},
		`{"eventID":"e","eventName":"n","@timestamp":"2020-09-14T00:50:17.000Z","userIdentity":{"type":"AssumedRole","principalId":"AROA:i-DDd6c7B0e18F0E35f"}}`:                                                  {"time_form", "instance_case"},
		`{"eventID":7,"eventName":["n"],"eventTime":{"x":1},"userIdentity":"root","resources":7,"requestParameters":"x","readOnly":"true","awsRegion":"us-gov-east-1","recipientAccountId":"012345678901"}`:       {"time_missing", "event_name_missing", "identity_missing"},
	} {
		r := parsed(t, text)
		if !slices.Equal(r.Odd, want) {
			t.Errorf("%s: odd %q, want %q", text, r.Odd, want)
		}
		if string(r.Raw) != text || r.Source.Kind == "" {
			t.Errorf("%s: raw %s, source %+v", text, r.Raw, r.Source)
		}
	}
	if r := parsed(t, `{"eventID":7,"readOnly":"true"}`); r.EventID != "7" || r.ReadOnly != True {
		t.Errorf("a number as text: %+v", r)
	}
	if a, b := parsed(t, `{"x":1}`).ID(), parsed(t, ` {"x":1}`).ID(); a != b || !strings.HasPrefix(a, "sha256:") || a == parsed(t, `{"x":2}`).ID() {
		t.Errorf("records without eventID are named %s and %s", a, b)
	}
	var syntax *event.SyntaxError
	if _, err := Parse([]byte(`[1]`)); !errors.As(err, &syntax) {
		t.Errorf("a list: %v", err)
	}
}

// secret is a member that holds one, at some depth, in some spelling.
func TestSecretsNeverLeave(t *testing.T) {
	names := []string{"sessionToken", "SessionToken", "secretAccessKey", "SecretAccessKey", "SigninToken", "tokenValue", "passwordData", "X-Amz-Security-Token", "client_secret", "keyMaterial", "session\\u0054oken"}
	values := []string{`"s3cr3t"`, `"a\"s3cr3t\\"`, `["s3cr3t"]`, `{"x":"s3cr3t"}`, `"\/s3cr3t\/+="`}
	rapid.Check(t, func(rt *rapid.T) {
		member := `"` + rapid.SampledFrom(names).Draw(rt, "name") + `" : ` + rapid.SampledFrom(values).Draw(rt, "value")
		inside := `{"a":1,` + member + `,"b":[2]}`
		for range rapid.IntRange(0, 3).Draw(rt, "depth") {
			if rapid.Bool().Draw(rt, "list") {
				inside = `[0,` + inside + `]`
			} else {
				inside = `{"creds":` + inside + `}`
			}
		}
		text := `{"eventName":"n","responseElements":` + inside + `}`
		out, paths, err := appendRedacted(nil, []byte(text))
		if err != nil || bytes.Contains(out, []byte("s3cr3t")) || !json.Valid(out) || len(paths) != 1 || !strings.HasPrefix(paths[0], "responseElements") {
			rt.Fatalf("%s becomes %s (%q, %v)", text, out, paths, err)
		}
		if !strings.Contains(string(out), `"a":1,`) || !strings.Contains(string(out), `,"b":[2]`) {
			rt.Fatalf("%s lost what is no secret: %s", text, out)
		}
	})
}

func TestSecretsInTextWithinTextAreMasked(t *testing.T) {
	inner := `{"credentials":{"accessKeyId":"ASIAIOSFODNN7EXAMPLE","sessionToken":"s3cr3t\/x+y==","n":1}}`
	for _, text := range []string{quote(inner), quote(`"` + quote(inner)), quote("cut: " + inner[:80])} {
		out, paths, err := appendRedacted(nil, []byte(`{"requestParameters":{"body":`+text+`}}`))
		if err != nil || bytes.Contains(out, []byte("s3cr3t")) || len(paths) != 1 || paths[0] != "requestParameters.body" || !bytes.Contains(out, []byte("ASIAIOSFODNN7EXAMPLE")) || !json.Valid(out) {
			t.Errorf("%s becomes %s (%q, %v)", text, out, paths, err)
		}
	}
	var refused *Refused
	broken := `{"eventName":"AssumeRole","responseElements":{"credentials":{"sessionToken":"s3cr3t` + "\n"
	if err := Decode([]byte(broken), Limits{}, func(f Found) error { refused = f.Refused; return nil }); err != nil || refused == nil ||
		bytes.Contains(refused.Original, []byte("s3cr3t")) || !bytes.Contains(refused.Original, []byte("AssumeRole")) || refused.Size != int64(len(broken)) {
		t.Errorf("the dead letter of a broken record: %+v (%v)", refused, err)
	}
	for _, harmless := range []string{`{"requestParameters":{"x":null,"sessionToken":null,"y":"passwords are not here"}}`, `{"eventName":"GetPasswordData"}`} {
		if out, paths, err := appendRedacted(nil, []byte(harmless)); err != nil || string(out) != harmless || len(paths) > 0 {
			t.Errorf("%s becomes %s (%q)", harmless, out, paths)
		}
	}
}

// The record survives: its members come out byte for byte, but for white space
// between the tokens of one that has many lines.
func TestTheRecordsMembersSurvive(t *testing.T) {
	odd := `{ "eventID":"a", "z":1e2,  "a":[ 1 , 2 ],"dup":1,"dup":2,"text":"tab\tand  spaces\u00e9", "eventTime":"2026-11-23T10:00:00Z" }`
	for text, want := range map[string]string{
		odd:                            odd[:len(odd)-2],
		pretty("a"):                    strings.TrimSuffix(record("a"), "}"),
		`{}`:                           `{`,
		"{\"eventName\":\"x\xff\"}":    `{"eventName":"x`,
		"{\n \"eventID\" :\n \"a b\"}": `{"eventID":"a b"`,
	} {
		e := &Enricher{Facts: NewTable(0)}
		out, _, err := e.Append(nil, parsed(t, text), Place{Position: enrich.Position{File: "f", Line: 1}}, time.Unix(1795428680, 0))
		if err != nil || !strings.HasPrefix(string(out), want) || bytes.ContainsAny(out, "\n\r") {
			t.Errorf("%q comes out as %s (%v)", text, out, err)
		}
		schematest.Validate(t, SchemaEnriched, out)
	}
}

func TestHugeTextsAreCutInTheEnrichmentAlone(t *testing.T) {
	huge := strings.Repeat("é", 100<<10)
	text := `{"eventID":"` + huge + `","eventName":"` + huge + `","userAgent":"` + huge + `","sourceIPAddress":"` + huge + `","userIdentity":{"principalId":"` + huge + `","arn":"` + huge +
		`","userName":"` + huge + `","invokedBy":"` + huge + `"},"eventTime":"2026-11-23T10:00:00Z","errorMessage":"` + huge + `","recipientAccountId":"` + huge + `"}`
	e := &Enricher{Facts: NewTable(0)}
	out, _, err := e.Append(nil, parsed(t, text), Place{Position: enrich.Position{File: "f", Line: 1}}, time.Unix(1795428680, 0))
	if err != nil || len(out) > len(text)+maxEnrichment+32 || !strings.HasPrefix(string(out), strings.TrimSuffix(text, "}")) {
		t.Errorf("%d bytes of %d (%v)", len(out), len(text), err)
	}
	schematest.Validate(t, SchemaEnriched, out)
}

// What a database that was never loaded would say of the caller's address is unknown;
// nobody asks it about a service.
func TestAMissingDatabaseIsAGapOfCallsFromAddresses(t *testing.T) {
	places, errs := geo.Open(geo.Config{Country: "/nowhere/country.mmdb"})
	if len(errs) != 1 {
		t.Fatal(errs)
	}
	e := &Enricher{Facts: NewTable(0), Geo: places}
	for source, want := range map[string]bool{"198.51.100.7": true, "ec2.amazonaws.com": false} {
		out, summary, err := e.Append(nil, parsed(t, `{"eventID":"e","eventTime":"2026-11-23T10:00:00Z","sourceIPAddress":"`+source+`"}`),
			Place{Position: enrich.Position{File: "f", Line: 1}}, time.Unix(1795428680, 0))
		if got := slices.Contains(summary.Gaps, enrich.Gap{Question: "geo", Reason: enrich.GeoUnavailable}); err != nil || got != want {
			t.Errorf("%s: %s (%v)", source, out, err)
		}
		schematest.Validate(t, SchemaEnriched, out)
	}
}

func TestEndlessListsAreCutInTheView(t *testing.T) {
	zeros := "[" + strings.Repeat("0,", 100_000) + "0]"
	r := parsed(t, `{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","eventID":"e","resources":`+zeros+`,"responseElements":{"instancesSet":{"items":[`+
		strings.Repeat(`{"instanceId":"i-0317f6c6b66ae9c40"},`, 10_000)+`{}]}}}`)
	if facts := Extract(nil, r); len(facts) != maxElements {
		t.Errorf("%d facts", len(facts))
	}
}

func BenchmarkDecodeAndEnrich(b *testing.B) {
	records, table := story(b)
	text := records["get"].Raw
	e := &Enricher{Facts: table}
	var out []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		err := Decode(text, Limits{}, func(f Found) (err error) {
			for _, fact := range Extract(nil, f.Record) {
				table.Add(fact)
			}
			out, _, err = e.Append(out[:0], f.Record, Place{Position: enrich.Position{Topic: "cloudtrail"}}, time.Time{})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingJSON is a yardstick: the standard library reads and writes the same
// record, and does nothing with it.
func BenchmarkEncodingJSON(b *testing.B) {
	records, _ := story(b)
	text := records["get"].Raw
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var record map[string]any
		if err := json.Unmarshal(text, &record); err != nil {
			b.Fatal(err)
		}
		if _, err := json.Marshal(record); err != nil {
			b.Fatal(err)
		}
	}
}

// What one message held must not show in the next.
func TestADecoderRemembersNothingOfTheMessageBefore(t *testing.T) {
	text, err := os.ReadFile("testdata/story.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []*Record
	if err := Read(bytes.NewReader(text), Limits{}, func(f Found) error {
		r, err := Parse(bytes.Clone(f.Record.Raw))
		all = append(all, r)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var d Decoder
	for _, want := range append(all, all...) {
		err := d.Decode(want.Raw, Limits{}, func(f Found) error {
			got := *f.Record
			if len(got.Odd) == 0 {
				got.Odd = nil // of no length is as none
			}
			if !reflect.DeepEqual(&got, want) {
				t.Errorf("%s is read as\n%+v, want\n%+v", want.Raw, got, *want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamesOfSecretsAreKnownInEverySpelling(t *testing.T) {
	for _, name := range secretNames() {
		dashed := "-" + name[:3] + "-" + name[3:] + "_"
		for _, spelling := range []string{name, strings.ToUpper(name), dashed, strings.ToUpper(dashed)} {
			if !isSecret([]byte(spelling)) {
				t.Errorf("%s is no secret's", spelling)
			}
		}
	}
	for _, name := range []string{"", "-", "sessiontokens", "p", "pd", "eventName", "passworddataofmanymorelettersthanany"} {
		if isSecret([]byte(name)) {
			t.Errorf("%q is a secret's", name)
		}
	}
}

// Bytes that JSON does not allow are mended, white space between tokens is left.
func TestARecordOfBytesThatJSONDoesNotAllowIsWrittenAsJSON(t *testing.T) {
	e := &Enricher{Facts: NewTable(0)}
	for odd, want := range map[string]string{"\x01": `"userAgent":	"a\u0001b"`, "\t": `"userAgent":	"a\tb"`, "\xff": `"userAgent":	"a\\xffb"`, "": `"userAgent":	"ab"`} {
		r := parsed(t, `{"eventID":"e","eventName":"n","userAgent":	"a`+odd+`b"}`)
		line, _, err := e.Append(nil, r, Place{}, r.Time)
		if err != nil || !json.Valid(line) || !bytes.Contains(line, []byte(want)) {
			t.Errorf("%q becomes %s, want %s: %v", odd, line, want, err)
		}
	}
}
