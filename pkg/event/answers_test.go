package event_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

func TestAnswersOfEverySource(t *testing.T) {
	for name, c := range map[string]struct {
		answer, ttl event.Value
		want        []event.AnswerRecord
	}{
		"Windows": {event.Value{Raw: []byte(`type:  5 www.example.net;::ffff:192.0.2.1;`), String: true}, event.Value{},
			[]event.AnswerRecord{{Type: "CNAME", Data: "www.example.net", TTL: -1}, {Data: "::ffff:192.0.2.1", TTL: -1}}},
		"one address": {event.Value{Raw: []byte(`192.0.2.1`), String: true}, event.Value{Raw: []byte("60"), String: true}, []event.AnswerRecord{{Data: "192.0.2.1", TTL: time.Minute}}},
		"Zeek": {event.Value{Raw: []byte(`["a.example", "192.0.2.1","x"]`)}, event.Value{Raw: []byte(`[300.0,60]`)},
			[]event.AnswerRecord{{Data: "a.example", TTL: 5 * time.Minute}, {Data: "192.0.2.1", TTL: time.Minute}, {Data: "x", TTL: -1}}},
		"Suricata": {event.Value{Raw: []byte(`[{"rrname":"a","rrtype":"CNAME","ttl":3600,"rdata":"b"},{"rrname":"b","rrtype":"A","ttl":-1,"rdata":"192.0.2.1"}]`)}, event.Value{},
			[]event.AnswerRecord{{Name: "a", Type: "CNAME", Data: "b", TTL: time.Hour}, {Name: "b", Type: "A", Data: "192.0.2.1", TTL: -1}}},
		"Route 53":       {event.Value{Raw: []byte(`[{"Rdata":"203.0.113.9","Type":"A","Class":"IN"}]`)}, event.Value{}, []event.AnswerRecord{{Type: "A", Data: "203.0.113.9", TTL: -1}}},
		"a list as text": {event.Value{Raw: []byte(`[\"192.0.2.1\"]`), String: true, Escaped: true}, event.Value{}, []event.AnswerRecord{{Data: "192.0.2.1", TTL: -1}}},
		"empty list":     {event.Value{Raw: []byte(`[]`)}, event.Value{}, nil},
		"nothing":        {event.Value{}, event.Value{}, nil},
		"a torn list":    {event.Value{Raw: []byte(`["a",`), String: true}, event.Value{}, nil},
	} {
		if got := event.Answers(c.answer, c.ttl); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
