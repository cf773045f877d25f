package enrich_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

func aSide(kind enrich.SideKind, value string) *enrich.Side {
	return &enrich.Side{
		Host: "h", Kind: kind, Time: time.Unix(epoch, 5).UTC(), Value: []byte(value), Source: "sensor/1/7/2",
		Position: enrich.Position{Topic: "sensor", Partition: 1, Offset: 7}, Appended: time.Unix(epoch+1, 0).UTC(), Responder: true,
	}
}

// A record's bytes are the same after the side topic, whatever JSON it is.
func TestASideRecordIsReadAsItWasWritten(t *testing.T) {
	for _, value := range []string{`{"a":"<&>é\u2028","n":1.50}`, `{ "ts" : 1 }`, `[]`, `"x"`} {
		want := aSide(enrich.SideSensor, value)
		want.Change, want.Withdrawn = 3, true
		b, err := want.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := enrich.ReadSide(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v\n%+v %v", b, got, want, err)
		}
	}
	if _, err := aSide(enrich.SideSensor, "no json").Append(nil); err == nil {
		t.Error("what is no JSON was taken")
	}
}

func FuzzReadSide(f *testing.F) {
	b, _ := aSide(enrich.SideRow, `{"a":1}`).Append(nil)
	f.Add(b)
	f.Add([]byte(`{"schema":"stackjoin.side/1","host":"h","kind":"x","value":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := enrich.ReadSide(b)
		if err != nil {
			return
		}
		again, err := s.Append(nil)
		if err != nil {
			t.Fatalf("read and not to be written: %v", err)
		}
		if back, err := enrich.ReadSide(again); err != nil || !bytes.Equal(back.Value, s.Value) || back.Host != s.Host {
			t.Fatalf("%s became %s: %v", b, again, err)
		}
	})
}

// besides keeps what an operator was shown of the side topic.
type besides struct {
	probe
	sides []enrich.Side
}

func (b *besides) OnSide(s *enrich.Side, _ *enrich.Out) error {
	b.sides = append(b.sides, *s)
	return nil
}

func throughSide(t *testing.T, p *enrich.Pipeline, s *enrich.Side) []enrich.Output {
	t.Helper()
	b, err := s.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out enrich.Out
	in := enrich.Input{Value: b, Side: true, Position: enrich.Position{Topic: "g.side", Offset: 3}, Appended: time.Unix(epoch+9, 0)}
	if err := p.Process(context.Background(), in, &out); err != nil {
		t.Fatal(err)
	}
	return out.Outputs
}

func TestOperatorsSeeWhatComesBesideAHostsRows(t *testing.T) {
	op := &besides{}
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{op}, nil)
	want := aSide(enrich.SideCloudTrail, `{"eventID":"1"}`)
	if outputs := throughSide(t, p, want); len(outputs) != 0 || len(op.sides) != 1 || !reflect.DeepEqual(&op.sides[0], want) {
		t.Errorf("%d outputs, shown %+v", len(outputs), op.sides)
	}
}

// A row that came by the side topic is the row it would have been, by the name that it
// had where it was read.
func TestARowBesideIsARow(t *testing.T) {
	p := enrich.NewPipeline(event.NewLenses(), nil, nil)
	outputs := throughSide(t, p, aSide(enrich.SideRow, `{"name":"q","hostIdentifier":"h","unixTime":1760000000,"columns":{"a":"1"},"action":"added"}`))
	if len(outputs) != 1 || outputs[0].ID != "sensor/1/7/2" || string(outputs[0].Key) != "h" {
		t.Fatalf("%+v", outputs)
	}
}

func TestWhatIsNoSideRecordIsADeadLetter(t *testing.T) {
	p := enrich.NewPipeline(event.NewLenses(), nil, nil)
	for _, value := range []string{"", "{}", `{"schema":"stackjoin.side/1","host":"h","kind":"row"}`, `{"schema":"stackjoin.side/2","host":"h","kind":"row","value":{}}`} {
		var out enrich.Out
		in := enrich.Input{Value: []byte(value), Side: true, Position: enrich.Position{Topic: "g.side"}}
		if err := p.Process(context.Background(), in, &out); err != nil || len(out.Outputs) != 1 || out.Outputs[0].Stream != enrich.DeadLetters {
			t.Errorf("%s: %+v %v", value, out.Outputs, err)
		}
	}
}

// A link is an event of its host under an id of its own, and the other end's point of
// view where the host is the one that answered.
func TestALinkIsAnEventOfItsHost(t *testing.T) {
	p := enrich.NewPipeline(event.NewLenses(), nil, nil)
	s := aSide(enrich.SideSensor, `{"_path":"conn","ts":1760000000.5,"uid":"C1","id.orig_h":"192.0.2.1","id.orig_p":5,"id.resp_h":"10.0.0.2","id.resp_p":22,"proto":"tcp","conn_state":"SF"}`)
	outputs := throughSide(t, p, s)
	if len(outputs) != 1 || string(outputs[0].Key) != "h" {
		t.Fatalf("%+v", outputs)
	}
	var v struct {
		Enrichment struct {
			Source, Destination struct{ IP string }
			Host                struct{ ID string }
			Link                struct{ Source, End, Status string }
			Evidence            []struct {
				Topic  string
				Offset int64
			}
		}
	}
	if err := json.Unmarshal(outputs[0].Value, &v); err != nil {
		t.Fatal(err)
	}
	e := v.Enrichment
	if e.Host.ID != "h" || e.Source.IP != "192.0.2.1" || e.Destination.IP != "10.0.0.2" || e.Link.End != "responder" ||
		e.Link.Source != "sensor/1/7/2" || e.Evidence[0].Topic != "sensor" || e.Evidence[0].Offset != 7 {
		t.Errorf("%s", outputs[0].Value)
	}
}

// Where input may repeat, a side record that was taken is not taken again; another change
// of it is, and so is what repeats where input does not.
func TestASideRecordThatCameBeforeIsDropped(t *testing.T) {
	for _, keep := range []bool{true, false} {
		p := enrich.NewPipeline(event.NewLenses(), nil, nil)
		p.Wait(enrich.Waiting{Keep: keep}, state.NewMemory())
		s := aSide(enrich.SideRow, `{"name":"q","hostIdentifier":"h","unixTime":1760000000,"columns":{"a":"1"},"action":"added"}`)
		told := func() int { return len(throughSide(t, p, s)) }
		first, again := told(), told()
		s.Source = "another"
		if other := told(); first != 1 || other != 1 || (again == 0) != keep {
			t.Errorf("keep %v: %d, %d, %d records told", keep, first, again, other)
		}
	}
}

// Of a call there may be copies anywhere: one is taken, for a day, and what is noted of
// them is forgotten.
func TestCopiesOfACallAreTakenOnce(t *testing.T) {
	op, kept := &besides{}, state.NewMemory()
	now := time.Unix(epoch, 0)
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{op}, nil)
	p.SetNow(func() time.Time { return now })
	p.Wait(enrich.Waiting{}, kept)
	const hours, each = 72, 5 // minutes
	taken := 0
	for i := range hours * 60 / each {
		s := aSide(enrich.SideCall, "{}")
		s.Source = fmt.Sprint(i)
		throughSide(t, p, s)
		s.Position.Offset++
		throughSide(t, p, s)
		if taken++; len(op.sides) != taken {
			t.Fatalf("%d are taken, %d were told", len(op.sides), taken)
		}
		now = now.Add(each * time.Minute)
		if err := p.OnIdle(context.Background(), &enrich.Out{}); err != nil {
			t.Fatal(err)
		}
	}
	noted := 0
	if err := kept.Scan("h", []byte("d"), func(_, _ []byte) error { noted++; return nil }); err != nil {
		t.Fatal(err)
	}
	if day := 24 * 60 / each; noted < day || noted > day*31/24 {
		t.Errorf("%d are noted, where a day has %d and a lap of sweeping is 6 h", noted, day)
	}
}
