package extension

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/osquery/osquery-go/gen/osquery"
)

// FuzzDecode holds decode to a plain reading of osquery's own order of keys, and
// to payloads that are the request's bytes.
func FuzzDecode(f *testing.F) {
	f.Add("string", "{}", "category", "event")
	f.Add("snapshot", "\xff\x00", "", "")
	f.Add("status", "true", "log", "[]")
	f.Add("action", "features", "init", "osqueryd")
	f.Add("action", "dance", "\xff", "\xfe")
	f.Add("string_batch", "[]", "event", "{}")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		request := osquery.ExtensionPluginRequest{k1: v1, k2: v2}
		wants, c := decode(request)
		wantAction, wantType, wantKey := plainDecode(request)
		if wants != wantAction || c.Type != wantType {
			t.Fatalf("%q: got action %d, type %c; want %d, %c", request, wants, c.Type, wantAction, wantType)
		}
		switch wants {
		case actionLog:
			if !bytes.Equal(c.Payload, []byte(request[wantKey])) || c.Payload == nil {
				t.Errorf("%q: payload %q", request, c.Payload)
			}
		case actionUnknown:
			if !json.Valid(c.Payload) {
				t.Errorf("%q: payload %q is no JSON", request, c.Payload)
			}
		}
		if known := c.Stream == StreamResults || c.Stream == StreamStatus; known != (wants == actionLog || wants == actionUnknown) {
			t.Errorf("%q: stream %q for action %d", request, c.Stream, wants)
		}
	})
}

// plainDecode is decode as a list of rules, the first that holds decides.
func plainDecode(r osquery.ExtensionPluginRequest) (action, byte, string) {
	has := func(key string) bool { _, ok := r[key]; return ok }
	rules := []struct {
		holds  bool
		action action
		form   byte
		key    string
	}{
		{has("string"), actionLog, TypeString, "string"},
		{has("string_batch"), actionLog, TypeStringBatch, "string_batch"},
		{has("snapshot"), actionLog, TypeSnapshot, "snapshot"},
		{has("init"), actionInit, 0, ""},
		{has("status") && has("log"), actionLog, TypeStatus, "log"},
		{has("event"), actionLog, TypeEvent, "event"},
		{r["action"] == "features", actionFeatures, 0, ""},
	}
	for _, rule := range rules {
		if rule.holds {
			return rule.action, rule.form, rule.key
		}
	}
	return actionUnknown, TypeUnknown, ""
}

func TestUnknownPayloadLosesNothing(t *testing.T) {
	got := string(unknownPayload(osquery.ExtensionPluginRequest{"b": "<é>", "a": "\xff", "\xfe": "x"}))
	const want = `{"\"\\xfe\"":"x","a":{"base64":"/w=="},"b":"\u003cé\u003e"}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
