package enrich

import (
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// maxWhole is the size up to which a dead letter carries the record whole.
const maxWhole = 512 << 10

// deadLetter makes the record of an input that cannot be taken.
func deadLetter(in Input, reason, message string, now time.Time) Output {
	var w writer
	w.place(in.Position)
	return letter(in.name(), &event.DeadLetter{
		Reason: reason, Message: message, Source: w.B, Time: now, Original: in.Value, Whole: maxWhole,
	})
}

// Oversized makes the dead letter of an output that is larger than its topic
// takes (limit, in bytes). The row it was made from is still on its own topic;
// the letter holds the output's beginning, so that it fits.
func Oversized(o *Output, limit int) *Output {
	var w writer
	w.Text("id", o.ID)
	dead := letter(o.ID, &event.DeadLetter{
		Reason:  "oversized",
		Message: "the enriched record has " + strconv.Itoa(len(o.Value)) + " bytes, its topic takes " + strconv.Itoa(limit),
		Source:  w.B, Time: time.Now(), Original: o.Value, Part: limit / 2,
	})
	return &dead
}

// Refused makes the dead letter of a part of an input that could not be read: original,
// for the reason, a fixed word, that message says in a sentence.
func Refused(in Input, reason, message string, original []byte) Output {
	in.Value = original
	return deadLetter(in, reason, message, time.Now())
}

// Poison makes the dead letter of an input that could not be processed however
// often it was tried; message says what became of the tries.
func Poison(in Input, message string) Output {
	return deadLetter(in, "poison", message, time.Now())
}

func letter(id string, d *event.DeadLetter) Output {
	return Output{Stream: DeadLetters, Key: []byte(id), Value: d.Append(nil), ID: id, Kind: "deadletter", Schema: event.SchemaDeadLetter}
}
