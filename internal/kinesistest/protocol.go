package kinesistest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Error is what Kinesis says of an entry or of a request.
type Error struct{ Code, Message string }

// Entry is one record of a PutRecords request.
type Entry struct {
	Data            []byte
	PartitionKey    string
	ExplicitHashKey string `json:",omitempty"`
}

// Put is a PutRecords request.
type Put struct {
	StreamName string
	Records    []Entry
}

// putAnswer is what PutRecords answers.
type putAnswer struct {
	EncryptionType    string
	FailedRecordCount int
	Records           []entryAnswer
}

type entryAnswer struct {
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
	SequenceNumber string `json:",omitempty"`
	ShardId        string `json:",omitempty"` //nolint:revive // the protocol's name
}

// action is the operation that a request names.
func action(r *http.Request) string {
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return name
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that is gone is its own affair
}

func refuse(w http.ResponseWriter, e Error) {
	answer(w, http.StatusBadRequest, map[string]string{"__type": e.Code, "message": e.Message})
}
