package cloudtrail

import (
	"slices"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// writer appends JSON members. It keeps the commas right, leaves out what is empty
// and clips texts to its limit.
type writer struct {
	b     []byte
	fresh bool // nothing stands in the open bracket yet
	limit int  // of one text, in bytes
	cut   bool // something was left out for want of room
}

func (w *writer) comma() {
	if !w.fresh {
		w.b = append(w.b, ',')
	}
	w.fresh = false
}

func (w *writer) key(name string) {
	w.comma()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) open(c byte)  { w.b, w.fresh = append(w.b, c), true }
func (w *writer) close(c byte) { w.b, w.fresh = append(w.b, c), false }

// object writes the members that inside does, and nothing where it writes none.
func (w *writer) object(name string, inside func()) {
	start, fresh := len(w.b), w.fresh
	w.key(name)
	w.open('{')
	inside()
	if w.fresh {
		w.b, w.fresh = w.b[:start], fresh
		return
	}
	w.close('}')
}

// list writes n objects, each with the members that element writes.
func (w *writer) list(name string, n int, element func(i int)) {
	if n == 0 {
		return
	}
	w.key(name)
	w.open('[')
	for i := range n {
		w.comma()
		w.open('{')
		element(i)
		w.close('}')
	}
	w.close(']')
}

func (w *writer) text(name, value string) {
	if value != "" {
		w.key(name)
		w.b = event.AppendString(w.b, w.clip(value))
	}
}

func (w *writer) clip(value string) string {
	short := clip(value, w.limit)
	w.cut = w.cut || len(short) < len(value)
	return short
}

// texts writes a list of distinct texts, nothing when there are none.
func (w *writer) texts(name string, values ...string) {
	start, fresh, wrote := len(w.b), w.fresh, false
	w.key(name)
	w.open('[')
	for i, v := range values {
		if v == "" || slices.Contains(values[:i], v) {
			continue
		}
		w.comma()
		w.b = event.AppendString(w.b, w.clip(v))
		wrote = true
	}
	if !wrote {
		w.b, w.fresh = w.b[:start], fresh
		return
	}
	w.close(']')
}

func (w *writer) number(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

// count writes a number that says something only above 0.
func (w *writer) count(name string, n int64) {
	if n > 0 {
		w.number(name, n)
	}
}

// amount writes a number of bytes, which AWS writes with a point.
func (w *writer) amount(name string, n float64) {
	if n > 0 {
		w.key(name)
		w.b = strconv.AppendFloat(w.b, n, 'f', -1, 64)
	}
}

func (w *writer) boolean(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) truth(name string, v Truth) {
	if v != Unknown {
		w.boolean(name, v == True)
	}
}

func (w *writer) time(name string, t time.Time) {
	if !t.IsZero() {
		w.key(name)
		w.b = append(event.AppendTime(append(w.b, '"'), t), '"')
	}
}
