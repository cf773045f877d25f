package enrich_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const agent = "0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001"

// probe is an Operator and an Enricher that shows what it was handed.
type probe struct {
	events []string
	times  []time.Time
	set    func(*enrich.Event)
	err    error
}

func (p *probe) Name() string { return "probe" }

func (p *probe) Enrich(_ context.Context, e *enrich.Event) error {
	if p.set != nil {
		p.set(e)
	}
	return p.err
}

func (p *probe) OnEvent(e *enrich.Event, _ *enrich.Out) error {
	p.events = append(p.events, e.ID)
	return nil
}
func (p *probe) OnSide(*enrich.Side, *enrich.Out) error { return nil }
func (p *probe) OnTime(_ enrich.Host, now time.Time, _ *enrich.Out) error {
	p.times = append(p.times, now)
	return nil
}

// process hands value to a pipeline with p as operator and lookup.
func process(t interface{ Fatal(...any) }, p *probe, values ...string) ([]enrich.Output, enrich.Stats) {
	pipeline := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{p}, []enrich.Enricher{p})
	var out enrich.Out
	for i, v := range values {
		in := enrich.Input{Value: []byte(v), Position: enrich.Position{Topic: "osquery.results", Partition: 3, Offset: int64(i)}}
		if err := pipeline.Process(context.Background(), in, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out.Outputs, pipeline.TakeStats()
}

func delivered(body string, seq int, spooled time.Time) string {
	b := event.AppendDelivery([]byte(body), &event.Delivery{Agent: agent, Run: "00112233445566aa", Seq: uint64(seq), Rows: 1, Spooled: spooled})
	return string(b)
}

func TestEveryFormIsSplitAndNamed(t *testing.T) {
	spooled := time.UnixMilli(1_760_000_000_123)
	for name, c := range map[string]struct {
		value string
		ids   []string
	}{
		"event with a name":        {delivered(`{"name":"q","hostIdentifier":"h","unixTime":1,"columns":{"a":"1"},"action":"added"}`, 7, spooled), []string{agent + "/00112233445566aa/7/0"}},
		"event of another shipper": {`{"name":"q","hostIdentifier":"h","columns":{"a":"1"},"action":"added"}`, []string{"osquery.results/3/0"}},
		"batch":                    {`{"diffResults":{"removed":[{"a":"1"}],"added":[{"a":"2"}]},"name":"q","hostIdentifier":"h"}`, []string{"osquery.results/3/0/0", "osquery.results/3/0/1"}},
		"snapshot":                 {`{"snapshot":[{"a":"1"}],"action":"snapshot","name":"q","hostIdentifier":"h"}`, []string{"osquery.results/3/0/0"}},
		"empty snapshot":           {`{"snapshot":[],"action":"snapshot","name":"q","hostIdentifier":"h"}`, []string{"osquery.results/3/0/0"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &probe{}
			outputs, stats := process(t, p, c.value)
			if strings.Join(p.events, " ") != strings.Join(c.ids, " ") {
				t.Errorf("events %v, want %v", p.events, c.ids)
			}
			for i, o := range outputs {
				if o.ID != c.ids[i] || o.Stream != enrich.Enriched || !json.Valid(o.Value) {
					t.Errorf("output %d: id %s stream %s: %s", i, o.ID, o.Stream, o.Value)
				}
			}
			if stats.Records != 1 || len(outputs) != len(c.ids) {
				t.Errorf("%d records, %d outputs", stats.Records, len(outputs))
			}
		})
	}
}

// Promise 9: the original row survives, byte for byte, with the enrichment as
// its last member.
func TestTheRowSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "columns"))
		if err != nil {
			t.Fatal(err)
		}
		value := `{"name":"socket_events","hostIdentifier":"h", "unixTime" : 1760000000,"columns":` + string(columns) + `,"action":"added"}`
		outputs, _ := process(t, &probe{}, value)
		if len(outputs) != 1 || !json.Valid(outputs[0].Value) {
			t.Fatalf("outputs %q", outputs)
		}
		if !bytes.HasPrefix(outputs[0].Value, []byte(value[:len(value)-1]+`,"enrichment":{`)) {
			t.Fatalf("the row is not the beginning of %s", outputs[0].Value)
		}
	})
}

func TestClockNonsenseIsClampedKeptAndCounted(t *testing.T) {
	spooled := time.Unix(1_760_000_000, 0).UTC()
	row := func(seconds, seq int) string {
		return delivered(fmt.Sprintf(`{"name":"socket_events","hostIdentifier":"h","unixTime":%d,"columns":{"pid":"1","remote_address":"","time":"%d"},"action":"added"}`, seconds, seconds), seq, spooled)
	}
	p := &probe{}
	outputs, stats := process(t, p, row(0, 1), row(4_000_000_000, 2), row(int(spooled.Unix())+60, 3))
	if len(outputs) != 3 {
		t.Fatalf("%d rows came out of 3", len(outputs))
	}
	want := []time.Time{spooled, spooled.Add(time.Minute)}
	if len(p.times) != 2 || !p.times[0].Equal(want[0]) || !p.times[1].Equal(want[1]) {
		t.Errorf("the host's clock went %v, want %v", p.times, want)
	}
	if stats.ClockClamped != 1 {
		t.Errorf("%d clamped, want 1", stats.ClockClamped)
	}
	if !strings.Contains(string(outputs[0].Value), `"time_source":"spooled"`) {
		t.Errorf("time 0 was taken for a time: %s", outputs[0].Value)
	}
	if !strings.Contains(string(outputs[1].Value), `"unixTime":4000000000`) {
		t.Errorf("what the host said is gone: %s", outputs[1].Value)
	}
}

func TestUnknownTableIsPassedOnAsOther(t *testing.T) {
	outputs, stats := process(t, &probe{}, `{"name":"mine","hostIdentifier":"h","unixTime":1760000000,"columns":{"x":"1"},"action":"added"}`)
	if len(outputs) != 1 || stats.Rows[event.Other] != 1 {
		t.Fatalf("%d outputs, rows %v", len(outputs), stats.Rows)
	}
}

func TestWhatIsNoRowIsDeadLetteredWithItsBytes(t *testing.T) {
	for name, value := range map[string]string{
		"empty": "", "no JSON": "hello", "no row": `{"a":1}`, "array": `[1]`, "deep": strings.Repeat(`{"columns":`, 2000), "NUL": "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			outputs, stats := process(t, &probe{}, value)
			if len(outputs) != 1 || outputs[0].Stream != enrich.DeadLetters || stats.DeadLetters != 1 {
				t.Fatalf("outputs %q", outputs)
			}
			var letter struct {
				Reason, Message, SHA256, Original string
				Size                              int
				Truncated                         bool
				Source                            struct {
					Topic             string
					Partition, Offset int
				}
			}
			if err := json.Unmarshal(outputs[0].Value, &letter); err != nil {
				t.Fatal(err)
			}
			original, err := base64.StdEncoding.DecodeString(letter.Original)
			digest := sha256.Sum256([]byte(value))
			if err != nil || string(original) != value || letter.SHA256 != hex.EncodeToString(digest[:]) || letter.Size != len(value) || letter.Truncated {
				t.Errorf("the original did not survive: %+v", letter)
			}
			if letter.Reason != "malformed" || letter.Message == "" || letter.Source.Topic != "osquery.results" || letter.Source.Partition != 3 {
				t.Errorf("letter %+v", letter)
			}
		})
	}
}

func TestAHugeDeadLetterCarriesItsBeginning(t *testing.T) {
	outputs, _ := process(t, &probe{}, strings.Repeat("x", 3<<20))
	if n := len(outputs[0].Value); n > 128<<10 || !strings.Contains(string(outputs[0].Value), `"truncated":true`) || !strings.Contains(string(outputs[0].Value), `"size":3145728`) {
		t.Errorf("dead letter of %d bytes: %.200s", n, outputs[0].Value)
	}
}

func TestTheEnrichmentIsCappedAndTheRowIsNot(t *testing.T) {
	long := strings.Repeat("é\x01", 30_000)
	p := &probe{set: func(e *enrich.Event) {
		for range 500 {
			e.Threats = append(e.Threats, enrich.Threat{Indicator: long, Atomic: long, Feed: long, Name: long, Tags: []string{long, "b"}})
		}
		e.Process = &enrich.Process{EntityID: "x", PID: 5, Executable: "/bin/x", CommandLine: "x"}
		for i := range 32 {
			e.Process.Ancestors = append(e.Process.Ancestors, enrich.Process{EntityID: "a", PID: int64(i + 6), Executable: "/bin/" + long, CommandLine: long})
		}
	}}
	value := `{"name":"q","hostIdentifier":"h","columns":{"a":"` + strings.Repeat("y", 100_000) + `"},"action":"added"}`
	outputs, _ := process(t, p, value)
	got := outputs[0].Value
	at := bytes.Index(got, []byte(`,"enrichment":`))
	if at != len(value)-1 || !json.Valid(got) {
		t.Fatalf("row cut, or no JSON: enrichment at %d of %d", at, len(value))
	}
	if n := len(got) - at; n > 65<<10 || !bytes.Contains(got, []byte(`"truncated":true`)) {
		t.Errorf("enrichment of %d bytes", n)
	}
}

func TestAFailingLookupIsTheCallersToRetry(t *testing.T) {
	down := errors.New("store is down")
	pipeline := enrich.NewPipeline(event.NewLenses(), nil, []enrich.Enricher{&probe{err: down}})
	var out enrich.Out
	err := pipeline.Process(context.Background(), enrich.Input{Value: []byte(`{"name":"q","columns":{}}`)}, &out)
	if !errors.Is(err, down) || len(out.Outputs) != 0 {
		t.Errorf("error %v, %d outputs", err, len(out.Outputs))
	}
}

// Bad input: a row of another shipper's with bytes that JSON does not allow.
func TestARowWithInvalidBytesIsMended(t *testing.T) {
	outputs, _ := process(t, &probe{}, "{\"name\":\"q\",\"hostIdentifier\":\"h\",\"columns\":{\"a\":\"x\xff\"},\"action\":\"added\"}")
	if len(outputs) != 1 || !json.Valid(outputs[0].Value) || !utf8.Valid(outputs[0].Value) || !strings.Contains(string(outputs[0].Value), `"escaped":true`) {
		t.Errorf("outputs %q", outputs)
	}
}

// sentry is a Guard that drops the second of a name.
type sentry struct {
	seen    map[string]bool
	flushes int
	times   int
	err     error
}

func (s *sentry) Check(e *enrich.Event, _ *enrich.Out) (bool, error) {
	twice := s.seen[e.ID]
	s.seen[e.ID] = true
	return twice, s.err
}

func (s *sentry) OnTime(enrich.Host, time.Time, *enrich.Out) error { s.times++; return s.err }

func (s *sentry) OnTick(time.Time, *enrich.Out) error { return s.err }

func (s *sentry) Flush() error { s.flushes++; return s.err }

func TestWhatTheGuardDropsGoesNoFurther(t *testing.T) {
	p, guard := &probe{}, &sentry{seen: map[string]bool{}}
	pipeline := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{p}, nil)
	pipeline.Guard(guard)
	row := enrich.Input{Value: []byte(delivered(`{"name":"q","hostIdentifier":"h","unixTime":1760000000,"columns":{"a":"1"},"action":"added"}`, 7, time.Unix(1_760_000_000, 0)))}
	var out enrich.Out
	for range 2 {
		if err := pipeline.Process(context.Background(), row, &out); err != nil {
			t.Fatal(err)
		}
	}
	if stats := pipeline.TakeStats(); len(out.Outputs) != 1 || len(p.events) != 1 || stats.Duplicates != 1 || stats.Rows[event.Other] != 1 || guard.times != 1 {
		t.Errorf("%d outputs, events %v, stats %+v, %d times", len(out.Outputs), p.events, stats, guard.times)
	}
	if err := pipeline.Seal(); err != nil || guard.flushes != 1 {
		t.Errorf("%d flushes: %v", guard.flushes, err)
	}
	guard.err = errors.New("state is down")
	if err := pipeline.Process(context.Background(), row, &out); !errors.Is(err, guard.err) {
		t.Errorf("the guard's error is lost: %v", err)
	}
}
