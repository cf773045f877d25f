package enrich

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
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
	return letter(in.Position.String(), func(w *writer) { w.place(in.Position) }, in.Value, maxWhole, maxOriginal, reason, message, now)
}

// Oversized makes the dead letter of an output that is larger than its topic
// takes (limit, in bytes). The row it was made from is still on its own topic;
// the letter holds the output's beginning, so that it fits.
func Oversized(o *Output, limit int) *Output {
	message := "the enriched record has " + strconv.Itoa(len(o.Value)) + " bytes, its topic takes " + strconv.Itoa(limit)
	dead := letter(o.ID, func(w *writer) { w.text("id", o.ID) }, o.Value, 0, min(maxOriginal, limit/2), "oversized", message, time.Now())
	return &dead
}

// letter writes a dead letter that carries originals of up to whole bytes
// complete, and of larger ones the first part bytes.
func letter(id string, source func(*writer), original []byte, whole, part int, reason, message string, now time.Time) Output {
	digest := sha256.Sum256(original)
	size, truncated := len(original), false
	if size > whole {
		original, truncated = original[:min(size, part)], size > part
	}
	w := writer{}
	w.open('{')
	w.text("schema", SchemaDeadLetter)
	w.text("kind", "deadletter")
	w.text("reason", reason)
	w.text("message", message)
	w.object("source")
	source(&w)
	w.close('}')
	w.time("time", now)
	w.number("size", int64(size))
	w.text("sha256", hex.EncodeToString(digest[:]))
	w.key("original")
	w.b = append(append(append(w.b, '"'), encodeBase64(original)...), '"')
	w.truth("truncated", truncated)
	w.close('}')
	return Output{Stream: DeadLetters, Key: []byte(id), Value: w.b, ID: id, Kind: "deadletter", Schema: SchemaDeadLetter}
}
