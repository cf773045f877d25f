package event

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"
)

// SchemaDeadLetter is the schema of what DeadLetter.Append writes.
const SchemaDeadLetter = "stackjoin.deadletter/1"

// maxOriginal is how much of a record that is too large a dead letter carries.
const maxOriginal = 64 << 10

// DeadLetter is a record that could not be taken or delivered: why, where it
// came from, and its bytes.
type DeadLetter struct {
	// Reason is a fixed word: malformed, oversized, refused, unknown_call, poison.
	Reason string
	// Message says it in a sentence.
	Message string
	// Source holds what names the original, as members of a JSON object without
	// the braces: its name, its topic, partition and offset, or its file and
	// line.
	Source []byte
	// Time is when it was set aside.
	Time time.Time
	// Original is the record. Up to Whole bytes of it travel complete (base64);
	// of a longer one the first 64 KiB, but never more than Part where that is
	// set.
	Original    []byte
	Whole, Part int
	// File names the local file that holds the original, where one does.
	File string
}

// Append appends the dead letter as one JSON object.
func (d *DeadLetter) Append(dst []byte) []byte {
	digest := sha256.Sum256(d.Original)
	shown, truncated := d.shown()
	dst = append(dst, `{"schema":"`+SchemaDeadLetter+`","kind":"deadletter","reason":`...)
	dst = AppendString(dst, d.Reason)
	dst = AppendString(append(dst, `,"message":`...), d.Message)
	dst = append(append(append(dst, `,"source":{`...), d.Source...), '}')
	dst = append(AppendTime(append(dst, `,"time":"`...), d.Time), '"')
	dst = strconv.AppendInt(append(dst, `,"size":`...), int64(len(d.Original)), 10)
	dst = append(append(append(dst, `,"sha256":"`...), hex.EncodeToString(digest[:])...), '"')
	dst = base64.StdEncoding.AppendEncode(append(dst, `,"original":"`...), shown)
	dst = strconv.AppendBool(append(dst, `","truncated":`...), truncated)
	if d.File != "" {
		dst = AppendString(append(dst, `,"file":`...), d.File)
	}
	return append(dst, '}')
}

func (d *DeadLetter) shown() (shown []byte, truncated bool) {
	if len(d.Original) <= d.Whole {
		return d.Original, false
	}
	part := maxOriginal
	if d.Part > 0 {
		part = min(part, d.Part)
	}
	return d.Original[:min(len(d.Original), part)], len(d.Original) > part
}

// AppendName appends the members that name a row or a call of logger-ext's: its
// agent, run and seq, and its row unless that is negative. They are a
// DeadLetter's Source.
func AppendName(dst []byte, d *Delivery) []byte {
	dst = append(append(dst, `"agent":"`...), d.Agent...)
	dst = append(append(dst, `","run":"`...), d.Run...)
	dst = strconv.AppendUint(append(dst, `","seq":`...), d.Seq, 10)
	if d.Row >= 0 {
		dst = strconv.AppendInt(append(dst, `,"row":`...), int64(d.Row), 10)
	}
	return dst
}
