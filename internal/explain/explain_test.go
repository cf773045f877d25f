package explain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/explain"
	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	agent = "0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001"
	id    = agent + "/00112233445566aa/7/0"
)

// enriched is a record as the enricher writes it, with its evidence.
func enriched(revision int, evidence string) string {
	return fmt.Sprintf(`{"columns":{},"enrichment":{"schema":"stackjoin.enriched/1","@timestamp":"2025-10-09T08:53:21.000Z","time_source":"column",`+
		`"event":{"id":%q,"revision":%d,"dataset":"osquery.socket_events","final":false},"host":{"id":"h","name":"web-1"},`+
		`"process":{"entity_id":"e1","pid":10,"executable":"/usr/bin/curl","command_line":"curl http://203.0.113.9/\u001b[2J","start":"2025-10-09T08:53:20.000Z","ancestors":[{"pid":1,"executable":"/sbin/init"}]},`+
		`"threat":{"enrichments":[{"indicator":{"name":"203.0.113.9","confidence":"High"},"matched":{"field":"destination.ip"},"feed":{"name":"mine","generation":"0123456789abcdef","match":"exact","provenance":"mine.txt:3"}}]},`+
		`"gaps":[{"question":"ancestry","reason":"parent_unknown"}],"evidence":[%s]}}`, id, revision, evidence)
}

func broker(t *testing.T) (*kafkatest.FakeBroker, *kgo.Client) {
	t.Helper()
	b := kafkatest.Fake(t, kfake.SeedTopics(3, "rows", "enriched"))
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return b, client
}

func reader(t *testing.T, b *kafkatest.FakeBroker) *explain.Kafka {
	t.Helper()
	k, err := explain.NewKafka([]kgo.Opt{kgo.SeedBrokers(b.Addrs()...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func put(t *testing.T, client *kgo.Client, topic, key, value, id string) *kgo.Record {
	t.Helper()
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}}
	if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExplainReadsTheEvidenceAgainAndSaysWhatRetentionTook(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, client := broker(t)
	gone := put(t, client, "rows", agent, `{"columns":{"path":"/usr/bin/curl"}}`, "")
	row := put(t, client, "rows", agent, `{"columns":{"remote_address":"203.0.113.9","note":"\u001b[2J"}}`, "")
	place := func(r *kgo.Record) string {
		return fmt.Sprintf(`"topic":"rows","partition":%d,"offset":%d`, r.Partition, r.Offset)
	}
	put(t, client, "enriched", agent, enriched(0, `{"for":"row",`+place(row)+`}`), id)
	put(t, client, "enriched", agent, `{}`, "another")
	put(t, client, "enriched", agent, enriched(1, `{"for":"row",`+place(row)+`,"lateness_ms":1500},{"for":"process","id":"e1",`+place(gone)+`}`), id)
	if _, err := kadm.NewClient(client).DeleteRecords(ctx, kadm.OffsetsList{{Topic: "rows", Partition: row.Partition, At: row.Offset}}.Offsets()); err != nil {
		t.Fatal(err)
	}

	k := reader(t, b)
	value, err := k.Find(ctx, "enriched", id)
	if err != nil || value == nil {
		t.Fatalf("find: %v", err)
	}
	x, err := explain.Explain(ctx, value, k)
	if err != nil {
		t.Fatal(err)
	}
	if x.Revision != 1 || len(x.Steps) != 2 || !strings.Contains(string(x.Steps[0].Row), "203.0.113.9") {
		t.Errorf("explanation %+v", x)
	}
	if x.Steps[1].Row != nil || !strings.Contains(x.Steps[1].Problem, "retention has removed it") {
		t.Errorf("what was deleted reads %+v", x.Steps[1])
	}
	var text strings.Builder
	x.Write(&text)
	for _, want := range []string{
		"revision 1, questions are open", "osquery.socket_events of host web-1", "readable 1.5s after it happened", "tells of e1",
		"pid 10 /usr/bin/curl: curl hxxp://203[.]0[.]113[.]9", "started by pid 1 /sbin/init", "feed mine lists it at mine.txt:3", "an ancestor's start was not seen",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Errorf("a control character reached the terminal: %q", text.String())
	}
}

func TestFindTellsThatThereIsNone(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, client := broker(t)
	put(t, client, "enriched", "x", `{}`, "another")
	if value, err := reader(t, b).Find(ctx, "enriched", id); err != nil || value != nil {
		t.Errorf("found %s, error %v", value, err)
	}
}

func TestEvidenceInFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.ndjson")
	if err := os.WriteFile(path, []byte("{\"a\":1}\n{\"a\":2}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[int64]string{1: `{"a":1}`, 2: `{"a":2}`, 3: ""} {
		got, err := explain.Files{}.Read(context.Background(), explain.Place{File: path, Line: line})
		if strings.TrimSpace(string(got)) != want || (want == "") != errors.Is(err, explain.ErrRemoved) {
			t.Errorf("line %d reads %q, error %v", line, got, err)
		}
	}
	if _, err := (explain.Files{}).Read(context.Background(), explain.Place{File: path + ".gone", Line: 1}); !errors.Is(err, explain.ErrRemoved) {
		t.Errorf("a file that is gone: %v", err)
	}
}

func TestWhatIsNotEnrichedIsRefused(t *testing.T) {
	if _, err := explain.Explain(context.Background(), []byte(`{"a":1}`), explain.Files{}); !errors.Is(err, explain.ErrNotEnriched) {
		t.Errorf("error %v", err)
	}
}

// Whatever an attacker wrote, no control character leaves, and nothing crashes.
func FuzzExplain(f *testing.F) {
	f.Add([]byte(enriched(0, `{"for":"row","file":"x","line":1}`)))
	f.Fuzz(func(t *testing.T, value []byte) {
		x, err := explain.Explain(context.Background(), value, explain.Files{})
		if err != nil {
			return
		}
		var text strings.Builder
		x.Write(&text)
		for _, r := range text.String() {
			if r < ' ' && r != '\n' || r == 0x7f {
				t.Fatalf("control character %q in %q", r, text.String())
			}
		}
		if _, err := json.Marshal(x); err != nil {
			t.Fatal(err)
		}
	})
}
