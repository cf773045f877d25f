package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// Objects is where entries are kept. It is safe for concurrent use.
type Objects interface {
	// Put stores data under a name that is not in use, such as "a/b", and returns
	// when it is durable.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns what is under a name. Its error wraps ErrMissing where nothing is.
	Get(ctx context.Context, name string) ([]byte, error)
	// Delete removes names. One that is not there is no error.
	Delete(ctx context.Context, names []string) error
}

// ErrMissing tells that there is no object of a name.
var ErrMissing = errors.New("journal object missing")

// All of the state is written anew when the entries since have grown as large as it,
// or as many as this.
const (
	longest  = 100
	smallest = 1 << 20
)

// Journal is one partition's, written by one owner. It is for one goroutine.
type Journal struct {
	objects Objects
	prefix  string // of all its names
	token   string // of this owner's names

	number uint64
	chain  []string // committed, the whole state first
	size   int64    // of the entries since
	whole  int64    // size of the whole state as it was written

	coder   *zstd.Encoder
	pending entry // appended, and not yet committed
	old     []string
}

// entry is an object that was written.
type entry struct {
	name  string
	whole bool
	size  int64
}

// New begins the journal of a partition, whose name is part of its objects' names,
// with nothing in it.
func New(objects Objects, partition string) *Journal {
	var token [8]byte
	_, _ = rand.Read(token[:]) // never fails (crypto/rand)
	return &Journal{objects: objects, prefix: partition + "/", token: hex.EncodeToString(token[:])}
}

// Load reads the state as of the committed entry of that name: restore is called with
// the changes in order. It returns what that entry had to tell. The Journal goes on
// after it. Errors wrap ErrMissing or ErrDamaged where the state is lost.
func (j *Journal) Load(ctx context.Context, name string, restore func([]state.Change) error) ([]enrich.Output, error) {
	last, size, err := j.get(ctx, name)
	if err != nil {
		return nil, err
	}
	j.chain, j.size, j.whole, j.number = nil, 0, 0, last.number
	for _, earlier := range last.chain {
		o, size, err := j.get(ctx, earlier)
		if err != nil {
			return nil, err
		}
		if err := restore(o.changes); err != nil {
			return nil, fmt.Errorf("journal object %s: %w", earlier, err)
		}
		j.join(entry{earlier, o.whole, size})
	}
	if err := restore(last.changes); err != nil {
		return nil, fmt.Errorf("journal object %s: %w", name, err)
	}
	j.join(entry{name, last.whole, size})
	j.old = nil // what was of use to an earlier owner is its to remove
	return last.outputs, nil
}

func (j *Journal) get(ctx context.Context, name string) (*object, int64, error) {
	data, err := j.objects.Get(ctx, name)
	if err != nil {
		return nil, 0, fmt.Errorf("journal object %s: %w", name, err)
	}
	o, err := decode(data)
	if err != nil {
		return nil, 0, fmt.Errorf("journal object %s: %w", name, err)
	}
	return o, int64(len(data)), nil
}

func (j *Journal) join(e entry) {
	if e.whole {
		j.old = append(j.old, j.chain...)
		j.chain, j.size, j.whole = nil, 0, e.size
	} else {
		j.size += e.size
	}
	j.chain = append(j.chain, e.name)
}

// Append stores an entry: the changes and what is to be told. all shows the state
// before the changes. It returns the entry's name, which counts once it is noted and
// Committed was called. An entry that is not takes the place of nothing.
func (j *Journal) Append(ctx context.Context, changes []state.Change, outputs []enrich.Output, all func(visit func(key, value []byte) error) error) (string, error) {
	o := &object{number: j.number + 1, changes: changes, outputs: outputs, chain: j.chain}
	if o.whole = len(j.chain) == 0 || len(j.chain) >= longest || j.size > max(j.whole, smallest); o.whole {
		o.chain, o.changes = nil, nil
		err := all(func(key, value []byte) error {
			o.changes = append(o.changes, state.Change{Key: append([]byte(nil), key...), Value: append([]byte{}, value...)})
			return nil
		})
		if err != nil {
			return "", err
		}
		o.changes = append(o.changes, changes...)
	}
	if j.coder == nil {
		var err error
		if j.coder, err = newCoder(); err != nil {
			return "", err
		}
	}
	data := o.encode(j.coder)
	j.number++
	name := fmt.Sprintf("%s%016d-%s", j.prefix, j.number, j.token)
	if err := j.objects.Put(ctx, name, data); err != nil {
		return "", fmt.Errorf("journal object %s: %w", name, err)
	}
	j.pending = entry{name, o.whole, int64(len(data))}
	return name, nil
}

// Committed tells that the name of the entry appended last was noted. Objects that are
// of no use since are removed; one that could not be is tried again the next time.
func (j *Journal) Committed(ctx context.Context) error {
	j.join(j.pending)
	if len(j.old) == 0 {
		return nil
	}
	if err := j.objects.Delete(ctx, j.old); err != nil {
		return fmt.Errorf("journal: remove what is of no use: %w", err)
	}
	j.old = nil
	return nil
}

// Remove removes a partition's objects that the committed entry of that name needs,
// and itself.
func Remove(ctx context.Context, objects Objects, name string) error {
	data, err := objects.Get(ctx, name)
	if errors.Is(err, ErrMissing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal object %s: %w", name, err)
	}
	names := []string{name}
	if o, err := decode(data); err == nil { // a damaged one names no others
		names = append(o.chain, name)
	}
	if err := objects.Delete(ctx, names); err != nil {
		return fmt.Errorf("journal: remove %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}
