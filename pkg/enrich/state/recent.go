package state

// recent remembers what the local store answered last, that it has nothing above
// all: joins ask for the same few keys row after row, and most of what they ask for
// is not there. It never holds another value than the local store.
type recent struct {
	young, old map[string][]byte // nil for a key that is not there
}

// Bounds of what is remembered, twice at most: about 2 MiB.
const (
	maxRecent      = 4096
	maxRecentValue = 256
)

func newRecent() recent { return recent{young: map[string][]byte{}} }

func (r *recent) get(key []byte) (value []byte, ok bool) {
	if value, ok = r.young[string(key)]; ok {
		return value, true
	}
	if value, ok = r.old[string(key)]; ok {
		r.keep(string(key), value)
	}
	return value, ok
}

// add remembers the local store's answer, of which it takes a copy.
func (r *recent) add(key, value []byte) {
	if len(value) <= maxRecentValue {
		r.keep(string(key), append([]byte(nil), value...))
	}
}

func (r *recent) keep(key string, value []byte) {
	if len(r.young) >= maxRecent {
		r.old, r.young = r.young, make(map[string][]byte, maxRecent)
	}
	r.young[key] = value
}

// forget is for a key that is written.
func (r *recent) forget(key []byte) {
	delete(r.young, string(key))
	delete(r.old, string(key))
}
