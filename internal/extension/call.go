package extension

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/osquery/osquery-go/gen/osquery"
)

// Streams a call can belong to.
const (
	StreamResults = "results"
	StreamStatus  = "status"
)

// Types of calls, by the form of their payload. They are stored with the call, so
// a value never changes its meaning.
const (
	TypeString      byte = 'S' // one result line: a row, or the changes of one run of a query
	TypeStringBatch byte = 'B' // a JSON array of result lines, sent by other extensions
	TypeSnapshot    byte = 'N' // one snapshot line
	TypeStatus      byte = 'L' // a JSON array of status lines
	TypeEvent       byte = 'E' // a bare row of an event table
	TypeUnknown     byte = 'U' // a request of no known form, as the JSON that unknownPayload writes
)

// Call is one log call of osqueryd, its payload untouched.
type Call struct {
	Stream  string
	Type    byte
	Payload []byte
}

// action is what a logger request asks for.
type action int

const (
	actionLog      action = iota // take the payload over
	actionInit                   // osqueryd tells its process name
	actionFeatures               // osqueryd asks which calls are wanted
	actionUnknown                // no known form; kept all the same
)

// decode tells what a logger request wants, and its call where there is a payload
// to keep. Keys are looked at in the order in which osquery's own plugins do, so a
// request with several means here what it means there. It never fails and never
// copies a payload.
func decode(request osquery.ExtensionPluginRequest) (action, Call) {
	if c, ok := logCall(request); ok {
		return actionLog, c
	}
	if _, ok := request["init"]; ok {
		return actionInit, Call{}
	}
	if _, isStatus := request["status"]; isStatus {
		if log, ok := request["log"]; ok {
			return actionLog, Call{Stream: StreamStatus, Type: TypeStatus, Payload: bytesOf(log)}
		}
	}
	if row, ok := request["event"]; ok {
		return actionLog, Call{Stream: StreamResults, Type: TypeEvent, Payload: bytesOf(row)}
	}
	if request["action"] == "features" {
		return actionFeatures, Call{}
	}
	return actionUnknown, Call{Stream: StreamResults, Type: TypeUnknown, Payload: unknownPayload(request)}
}

// logCall finds the payload of the three forms that carry results.
func logCall(request osquery.ExtensionPluginRequest) (Call, bool) {
	if line, ok := request["string"]; ok {
		return Call{Stream: StreamResults, Type: TypeString, Payload: bytesOf(line)}, true
	}
	if lines, ok := request["string_batch"]; ok {
		return Call{Stream: StreamResults, Type: TypeStringBatch, Payload: bytesOf(lines)}, true
	}
	if line, ok := request["snapshot"]; ok {
		return Call{Stream: StreamResults, Type: TypeSnapshot, Payload: bytesOf(line)}, true
	}
	return Call{}, false
}

// bytesOf returns the bytes of s without a copy, for a payload can be two
// gigabytes. The bytes are the string's own: nobody may write to them. A string
// that thrift read lies on the heap, so the bytes stay valid for as long as they
// are referred to.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // the comment above says why it is safe
}

// unknownPayload writes a request as one JSON object, keys sorted, nothing lost: a
// value that is no valid UTF-8 becomes {"base64": …}, a key that is none is quoted
// as Go quotes it.
func unknownPayload(request osquery.ExtensionPluginRequest) []byte {
	members := make(map[string]any, len(request))
	for key, value := range request {
		if !utf8.ValidString(key) {
			key = fmt.Sprintf("%q", key)
		}
		if utf8.ValidString(value) {
			members[key] = value
		} else {
			members[key] = map[string][]byte{"base64": []byte(value)}
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		// Strings and byte slices always marshal.
		return []byte{}
	}
	return text
}
