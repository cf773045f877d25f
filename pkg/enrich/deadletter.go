package enrich

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// maxOriginal is how much of an unreadable record a dead letter carries.
const maxOriginal = 64 << 10

// maxWhole is the size up to which a dead letter carries the record whole.
const maxWhole = 512 << 10

// deadLetter makes the record of an input that cannot be taken: why, where it
// was read, and the original bytes, or for a huge one their size, digest and
// beginning.
func deadLetter(in Input, reason, message string, now time.Time) Output {
	original, truncated := in.Value, false
	if len(original) > maxWhole {
		original, truncated = original[:maxOriginal], true
	}
	digest := sha256.Sum256(in.Value)
	w := writer{}
	w.open('{')
	w.text("schema", SchemaDeadLetter)
	w.text("kind", "deadletter")
	w.text("reason", reason)
	w.text("message", message)
	w.object("source")
	w.place(in.Position)
	w.close('}')
	w.time("time", now)
	w.number("size", int64(len(in.Value)))
	w.text("sha256", hex.EncodeToString(digest[:]))
	w.key("original")
	w.b = append(append(append(w.b, '"'), encodeBase64(original)...), '"')
	w.truth("truncated", truncated)
	w.close('}')
	id := in.Position.String()
	return Output{Stream: DeadLetters, Key: []byte(id), Value: w.b, ID: id}
}
