package enrich

import (
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// writer appends JSON members. It keeps the commas right, leaves out what is
// empty and clips texts to the limit of its shape.
type writer struct {
	b     []byte
	fresh bool
	limit int // of one text; 0 is none
	cut   bool
	// pieces are what was written before; nil remembers nothing.
	pieces *pieces
}

func (w *writer) key(name string) {
	if !w.fresh {
		w.b = append(w.b, ',')
	}
	w.fresh = false
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) item() {
	if !w.fresh {
		w.b = append(w.b, ',')
	}
	w.fresh = false
}

func (w *writer) open(c byte)  { w.b, w.fresh = append(w.b, c), true }
func (w *writer) close(c byte) { w.b, w.fresh = append(w.b, c), false }

func (w *writer) object(name string) { w.key(name); w.open('{') }
func (w *writer) array(name string)  { w.key(name); w.open('[') }

func (w *writer) text(name, value string) {
	if value == "" {
		return
	}
	w.key(name)
	w.b = event.AppendString(w.b, w.clip(value, w.limit))
}

// clip cuts value to limit bytes at a character's edge, and remembers that it
// did.
func (w *writer) clip(value string, limit int) string {
	if limit <= 0 || len(value) <= limit {
		return value
	}
	w.cut = true
	for limit > 0 && value[limit]&0xc0 == 0x80 {
		limit--
	}
	return value[:limit]
}

func (w *writer) number(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) truth(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	w.key(name)
	w.b = append(event.AppendTime(append(w.b, '"'), t), '"')
}

// texts writes a list of distinct texts, nothing when there are none.
func (w *writer) texts(name string, values []string) {
	wrote := false
	for i, v := range values {
		if v == "" || contains(values[:i], v) {
			continue
		}
		if !wrote {
			w.array(name)
			wrote = true
		}
		w.item()
		w.b = event.AppendString(w.b, w.clip(v, w.limit))
	}
	if wrote {
		w.close(']')
	}
}

func contains(values []string, v string) bool {
	for _, o := range values {
		if o == v {
			return true
		}
	}
	return false
}

func firstText(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// baseName is the last element of a path of either family of systems.
func baseName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' || path[i] == '\\' {
			return path[i+1:]
		}
	}
	return path
}
