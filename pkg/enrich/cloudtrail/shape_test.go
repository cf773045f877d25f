package cloudtrail

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// record is a small record with an id of its own.
func record(id string) string {
	return `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","userName":"ann","accountId":"111122223333"},"eventTime":"2026-11-23T10:00:00Z",` +
		`"eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances","awsRegion":"eu-west-1","sourceIPAddress":"198.51.100.7","eventID":"` + id +
		`","recipientAccountId":"111122223333"}`
}

// pretty is the same record over many lines.
func pretty(id string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(record(id)), "", "  "); err != nil {
		panic(err)
	}
	return b.String()
}

func zip(texts ...string) string {
	var b bytes.Buffer
	for _, text := range texts {
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
	}
	return b.String()
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func logsPayload(messages ...string) string {
	var events []string
	for i, m := range messages {
		events = append(events, fmt.Sprintf(`{"id":"%d","timestamp":1795428680000,"message":%s}`, i, quote(m)))
	}
	return `{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[` + strings.Join(events, ",") + `]}`
}

const s3Notice = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"trail"},"object":{"key":"AWSLogs/1/CloudTrail/a+b%2Bc.json.gz","size":7}}}]}`

// decoded tells what a message held, in words.
func decoded(t testing.TB, message string) (words []string) {
	t.Helper()
	if err := Decode([]byte(message), Limits{}, func(f Found) error {
		words = append(words, word(f))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return words
}

func word(f Found) string {
	switch {
	case f.Record != nil:
		return f.Record.EventID
	case f.Object != nil:
		return "s3:" + f.Object.Bucket + "/" + f.Object.Key
	case f.Skipped != "":
		return f.Skipped
	}
	return f.Refused.Reason
}

func TestEveryShapeIsTaken(t *testing.T) {
	sns := `{"Type":"Notification","Message":` + quote(s3Notice) + `}`
	row := `{"name":"pack_aws_aws_cloudtrail_events","hostIdentifier":"h","columns":{"account_id":"111122223333","region_code":"eu-west-1","event_id":"q","event_name":"RunInstances","event_source":"ec2.amazonaws.com","event_time":"2026-11-23T10:00:00Z","user_identity":"{\"type\":\"Root\"}","read_only":"false","error_code":""},"action":"added"}`
	object := "s3:trail/AWSLogs/1/CloudTrail/a b+c.json.gz"
	for name, c := range map[string]struct{ message, want string }{
		"bare":                               {record("a"), "a"},
		"Records":                            {`{"Records":[` + record("a") + `,` + record("b") + `]}`, "a b"},
		"Records of many lines":              {"{ \"Records\" : [\n" + pretty("a") + ",\n" + pretty("b") + "\n],\n \"x\": {\"y\":[1]} }", "a b"},
		"Records later":                      {`{"x":1,"Records":[` + record("a") + `]}`, "a"},
		"list":                               {"[" + record("a") + " ,\n" + record("b") + "]", "a b"},
		"lines":                              {record("a") + "\r\n\n" + record("b") + "\n", "a b"},
		"joined":                             {record("a") + record("b"), "a b"},
		"many lines each":                    {pretty("a") + "\n" + pretty("b"), "a b"},
		"byte order mark":                    {"\xef\xbb\xbf" + record("a"), "a"},
		"nothing":                            {" \n", ""},
		"CloudWatch Logs":                    {zip(logsPayload(record("a"), record("b"))), "a b"},
		"CloudWatch Logs joined by Firehose": {zip(logsPayload(record("a")), logsPayload(record("b"))), "a b"},
		"CloudWatch Logs control":            {`{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}]}`, "control_message"},
		"awslogs.data":                       {`{"awslogs":{"data":"` + base64.StdEncoding.EncodeToString([]byte(zip(logsPayload(record("a"))))) + `"}}`, "a"},
		"Lambda's Kinesis":                   {`{"Records":[{"kinesis":{"data":"` + base64.StdEncoding.EncodeToString([]byte(zip(logsPayload(record("a"))))) + `"},"eventSource":"aws:kinesis","eventName":"aws:kinesis:record","eventVersion":"1.0","eventID":"x"}]}`, "a"},
		"gzip in gzip":                       {zip(zip(record("a"))), "a"},
		"EventBridge":                        {`{"version":"0","id":"x","detail-type":"AWS API Call via CloudTrail","source":"aws.ec2","detail":` + record("a") + `}`, "a"},
		"EventBridge, other":                 {`{"version":"0","detail-type":"EC2 Instance State-change Notification","detail":{"instance-id":"i-1","state":"running"}}`, "other_event"},
		"LookupEvents":                       {`{"Events":[{"EventId":"a","CloudTrailEvent":` + quote(record("a")) + `}]}`, "a"},
		"LookupEvents, one":                  {`{"EventId":"a","CloudTrailEvent":` + quote(record("a")) + `}`, "a"},
		"Insights":                           {`{"eventVersion":"1.08","eventTime":"2026-11-23T10:00:00Z","eventID":"i","eventType":"AwsCloudTrailInsight","insightDetails":{}}`, "i"},
		"S3":                                 {s3Notice, object},
		"S3 by SNS":                          {sns, object},
		"S3 by SQS":                          {`{"Records":[{"messageId":"m","body":` + quote(s3Notice) + `,"eventSource":"aws:sqs"}]}`, object},
		"S3 by SNS and SQS":                  {`{"Messages":[{"MessageId":"m","Body":` + quote(sns) + `}]}`, object},
		"SNS to Lambda":                      {`{"Records":[{"EventSource":"aws:sns","Sns":{"Message":` + quote(s3Notice) + `}}]}`, object},
		"S3 by EventBridge":                  {`{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"trail"},"object":{"key":"a+b%2B","size":1}}}`, "s3:trail/a+b%2B"},
		"CloudTrail's SNS":                   {`{"Type":"Notification","Message":"{\"s3Bucket\":\"trail\",\"s3ObjectKey\":[\"a\",\"b\"]}"}`, "s3:trail/a s3:trail/b"},
		"S3 test":                            {`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"trail"}`, "test_event"},
		"SNS subscription":                   {`{"Type":"SubscriptionConfirmation","Message":"You have chosen","Token":"x"}`, "subscription"},
		"a log shipper's event":              {`{"@timestamp":"2026-11-23T10:00:00Z","message":` + quote(record("a")) + `,"host":{"name":"h"}}`, "a"},
		"digest":                             {`{"awsAccountId":"1","digestS3Bucket":"b","logFiles":[]}`, "digest"},
		"cloudquery":                         {row, "q"},
		"cloudquery in a batch":              {`{"name":"q","diffResults":{"removed":[],"added":[` + row[strings.Index(row, `{"account`):strings.Index(row, `,"action"`)] + `]}}`, "q"},
		"another table's row":                {`{"name":"q","columns":{"pid":"1"},"action":"added"}`, "other_row"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(decoded(t, c.message), " "); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// One hostile record is refused alone, whatever it does to the text around it.
func TestWhatIsBrokenIsRefusedAlone(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600)
	for name, c := range map[string]struct{ message, want string }{
		"wrong literal":        {`{"Records":[` + record("a") + `,{"eventID":tru},` + record("b") + `]}`, "a malformed b"},
		"many lines":           {"[\n" + pretty("a") + ",\n{\n  \"x\": nul\n},\n" + pretty("b") + "]", "a malformed b"},
		"too deep":             {"[" + deep + "," + record("b") + "]", "malformed b"},
		"no record":            {`[{"x":1},7,"text",null,` + record("b") + `]`, "malformed malformed malformed malformed b"},
		"a line that is cut":   {record("a") + "\n" + `{"eventName":"x","y":{` + "\n" + record("b"), "a malformed b"},
		"an open string":       {record("a") + "\n" + `{"eventName":"x` + "\n" + record("b"), "a malformed b"},
		"words":                {"hello, \"world\n" + record("b"), "malformed b"},
		"a stray bracket":      {"}]" + record("b"), "malformed malformed b"},
		"cut":                  {record("a") + record("b")[:50], "a malformed"},
		"cut list":             {`{"Records":[` + record("a") + `,`, "a malformed"},
		"cut gzip":             {zip(record("a") + "\n" + record("b"))[:150], "malformed malformed"},
		"no gzip":              {"\x1f\x8b" + strings.Repeat("x", 40), "malformed"},
		"something after gzip": {zip(record("a")+"\n") + "garbage", "a malformed"},
		"a broken log event":   {logsPayload(record("a"), `{"eventVersion":"1.03","x":{`, "plain", record("b")), "a malformed malformed b"},
		"no base64":            {`{"awslogs":{"data":"***"}}`, "malformed"},
		"empty body":           {`{"Records":[{"body":"","eventSource":"aws:sqs"}]}`, "malformed"},
		"no key":               {`{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"b"},"object":{}}}]}`, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(decoded(t, c.message), " "); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestWhereAThingStandsIsTold(t *testing.T) {
	text := "[\n" + pretty("a") + ",\n{\"Events\":[{\"CloudTrailEvent\":" + quote("\n\n"+record("b")) + "},\n" + record("c") + "]}]\n" + record("d")
	var got []string
	if err := Read(strings.NewReader(text), Limits{}, func(f Found) error {
		got = append(got, fmt.Sprint(word(f), f.Line, f.Number))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(pretty("a"), "\n") + 1
	want := []string{"a2 1", fmt.Sprint("b", lines+2, " 2"), fmt.Sprint("c", lines+2, " 3"), fmt.Sprint("d", lines+4, " 4")}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestEnvelopesWithoutEndAreRefused(t *testing.T) {
	message := record("a")
	for range 7 {
		message = `{"Type":"Notification","Message":` + quote(message) + `}`
	}
	if got := decoded(t, message); len(got) != 1 || got[0] != "a" {
		t.Errorf("seven envelopes: %q", got)
	}
	for range 3 {
		message = `{"Type":"Notification","Message":` + quote(message) + `}`
	}
	if got := decoded(t, message); len(got) != 1 || got[0] != "malformed" {
		t.Errorf("ten envelopes: %q", got)
	}
}

func TestBombsAreRefused(t *testing.T) {
	bomb := zip(`{"x":"` + strings.Repeat("a", 1<<20) + `"}` + "\n" + record("a"))
	var words []string
	limits := Limits{Value: 1 << 16, Inflated: 1 << 21}
	each := func(f Found) error {
		words = append(words, word(f))
		if f.Refused != nil && (f.Refused.Size < 1<<20 || len(f.Refused.Original) > keptOriginal) {
			t.Errorf("refused with size %d, kept %d", f.Refused.Size, len(f.Refused.Original))
		}
		return nil
	}
	if err := Read(strings.NewReader(bomb), limits, each); err != nil || strings.Join(words, " ") != "oversized a" {
		t.Errorf("%v, %v; the large value is refused alone", words, err)
	}
	words = nil
	small := Limits{Value: len(record("a"))}
	if err := Decode([]byte(record("a")+record("longer")+record("b")), small, func(f Found) error { words = append(words, word(f)); return nil }); err != nil || strings.Join(words, " ") != "a oversized b" {
		t.Errorf("%v, %v; a value beyond the limit is refused wherever it stands", words, err)
	}
	limits.Inflated, words = 1<<19, nil
	last := func(f Found) error { words = append(words, word(f)); return nil }
	if err := Read(strings.NewReader(bomb), limits, last); err != nil || len(words) == 0 || words[len(words)-1] != "oversized" {
		t.Errorf("%v, %v; the text beyond the budget is refused", words, err)
	}
	if err := Read(strings.NewReader(zip(zip(zip(zip(zip(zip(zip(zip(zip("x")))))))))), Limits{}, last); err != nil || words[len(words)-1] != "malformed" {
		t.Errorf("%v, %v; nine layers of gzip are refused", words, err)
	}
}

func TestErrorsOfTheReaderAreNotTheTexts(t *testing.T) {
	broken := errors.New("disk is gone")
	for name, text := range map[string]string{"plain": record("a"), "gzip": zip(record("a"))[:20]} {
		r := iotest.ErrReader(broken)
		err := Read(io.MultiReader(strings.NewReader(text), r), Limits{}, func(Found) error { return nil })
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stop := errors.New("enough")
	if err := Read(strings.NewReader(record("a")), Limits{}, func(Found) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of each is lost: %v", err)
	}
}

// However a file is cut into reads, the same records come out, byte for byte.
func TestReadsOfAnySizeGiveTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 5).Draw(rt, "records")
		var want, parts []string
		for i := range n {
			id := fmt.Sprintf("%d%s", i, strings.Repeat("x", rapid.IntRange(0, 200).Draw(rt, "length")))
			one := record(id)
			if rapid.Bool().Draw(rt, "lines") {
				one = pretty(id)
			}
			want, parts = append(want, one), append(parts, one)
		}
		text := rapid.SampledFrom([]func() string{
			func() string { return `{"Records":[` + strings.Join(parts, ",") + `]}` },
			func() string { return "[" + strings.Join(parts, " , ") + "]" },
			func() string { return strings.Join(parts, "\n") },
			func() string { return strings.Join(parts, "") },
			func() string { return zip(parts...) },
		}).Draw(rt, "shape")()
		var got []string
		each := func(f Found) error {
			if f.Record == nil {
				rt.Fatalf("found %s in %q", word(f), text)
			}
			got = append(got, string(f.Record.Raw))
			return nil
		}
		reader := iotest.OneByteReader(strings.NewReader(text))
		if rapid.Bool().Draw(rt, "whole") {
			reader = strings.NewReader(text)
		}
		if err := Read(reader, Limits{}, each); err != nil {
			rt.Fatal(err)
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			rt.Fatalf("%q\nwant %q", got, want)
		}
	})
}
