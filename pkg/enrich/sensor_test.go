package enrich_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// observe hands a value to a pipeline as a sensor's.
func observe(t *testing.T, in enrich.Input) ([]enrich.Output, enrich.Stats) {
	t.Helper()
	in.Sensor, in.Position = true, enrich.Position{Topic: "sensor", Partition: 1, Offset: 7}
	pipeline := enrich.NewPipeline(event.NewLenses(), nil, nil)
	var out enrich.Out
	if err := pipeline.Process(context.Background(), in, &out); err != nil {
		t.Fatal(err)
	}
	return out.Outputs, pipeline.TakeStats()
}

// One value may hold several records: each has an id of its own, the same
// whenever the value is read.
func TestEveryRecordOfASensorsValueIsAnEvent(t *testing.T) {
	const value = `{"_path":"dns","ts":1588205199.5,"uid":"C1","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","query":"a.example","answers":["192.0.2.1"]}
{"_path":"files","ts":1588205199.5}
no record
{"_path":"weird","ts":1588205199.5,"name":"` + "\xff" + `"}`
	outputs, stats := observe(t, enrich.Input{Value: []byte(value)})
	var ids []string
	for i := range outputs {
		ids = append(ids, outputs[i].Stream.String()+" "+outputs[i].ID+" "+outputs[i].Kind)
		if outputs[i].Stream == enrich.Enriched {
			schematest.Validate(t, enrich.SchemaEnriched, outputs[i].Value)
		}
	}
	want := "enriched sensor/1/7 dns, enriched sensor/1/7/1 other, deadletter sensor/1/7 deadletter, enriched sensor/1/7/3 other"
	if got := strings.Join(ids, ", "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if stats.Rows[event.DNS] != 1 || stats.Rows[event.Other] != 2 || stats.DeadLetters != 1 || stats.Gaps[enrich.RecordNotRead] != 2 {
		t.Errorf("counted %+v", stats)
	}
	text := string(outputs[0].Value)
	for _, member := range []string{
		`"@timestamp":"2020-04-30T00:06:39.500Z"`, `"time_source":"column"`, `"dataset":"zeek.dns"`, `"answers":[{"data":"192.0.2.1"}]`, `"connection_uid":"C1"`,
	} {
		if !strings.Contains(text, member) {
			t.Errorf("no %s in %s", member, text)
		}
	}
}

func TestWhatASourceCouldNotReadIsADeadLetterWithItsReason(t *testing.T) {
	outputs, stats := observe(t, enrich.Input{Value: []byte("1\t2"), Broken: errors.New("not as many values")})
	if len(outputs) != 1 || outputs[0].Stream != enrich.DeadLetters || !strings.Contains(string(outputs[0].Value), "not as many values") || stats.DeadLetters != 1 {
		t.Errorf("%+v", outputs)
	}
}

// A capture replayed from before osquery's time keeps its time; a host's clock
// that was never set does not.
func TestASensorMayReplayAnOldCapture(t *testing.T) {
	outputs, _ := observe(t, enrich.Input{Value: []byte(`{"_path":"conn","ts":1258532180.5,"uid":"C","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2"}`)})
	if text := string(outputs[0].Value); !strings.Contains(text, `"@timestamp":"2009-11-18T`) {
		t.Error(text)
	}
}
