package route

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// sentKey begins the keys of records that were sent to owners whom no later fact has
// confirmed; the rest is as for keptKey. The value is a format, how often owners
// changed, the owners, and the record's envelope, for the host nobody.
const (
	sentKey    = "s"
	sentFormat = 1
)

// sent is the records whose owners are in doubt, by address.
type sent struct {
	by      map[string]*doubts
	bytes   int64
	changes uint64 // of the facts when the records were last looked through
	looked  time.Time
}

// doubts are those of one address, and what of its facts they were held to.
type doubts struct {
	all   []*doubt
	known uint64
}

// doubt is one record.
type doubt struct {
	key    string
	bytes  int64
	at     time.Time
	change int
	owners []owner.Place
}

// loadSent finds again what is in doubt in the state.
func (r *Router) loadSent() error {
	r.sent = sent{by: map[string]*doubts{}}
	return wrap(r.state.Scan("", []byte(sentKey), func(key, value []byte) error {
		if len(key) <= whoAt {
			return fmt.Errorf("key %x is too short", key)
		}
		d, s, err := readDoubt(value)
		if err != nil {
			return err
		}
		d.key, d.at, d.bytes = string(key), s.Time, weight(string(key), len(value))
		r.sent.add(d)
		return nil
	}))
}

func (s *sent) add(d *doubt) {
	who := d.key[whoAt:]
	if s.by[who] == nil {
		s.by[who] = &doubts{}
	}
	s.by[who].all = append(s.by[who].all, d)
	s.bytes += d.bytes
}

// doubt keeps a record that was sent to owners whom no later fact has confirmed.
func (r *Router) doubt(who string, s *enrich.Side, owners []owner.Place) error {
	d := &doubt{key: string(r.keyOf(sentKey, who, s, r.cfg.Wait)), at: s.Time, change: s.Change, owners: owners}
	value, err := d.encode(s)
	if err != nil {
		return err
	}
	d.bytes = weight(d.key, len(value))
	if r.sent.bytes+d.bytes > r.cfg.MaxBytes {
		r.count[doubtful]++
		return nil
	}
	r.sent.add(d)
	return wrap(r.state.Put("", []byte(d.key), value))
}

// confirm holds what is in doubt to the facts: what they confirm is done with, and what
// they tell of others goes to those, and is taken back from who had it.
func (r *Router) confirm(changes uint64, out *enrich.Out) error {
	due := r.now.Sub(r.sent.looked) >= lookEvery
	if len(r.sent.by) == 0 || changes == r.sent.changes && !due {
		return nil
	}
	r.sent.changes = changes
	if due {
		r.sent.looked = r.now
	}
	for who, of := range r.sent.by {
		known := r.known(who)
		if known == of.known && !due {
			continue
		}
		left := of.all[:0]
		for _, d := range of.all {
			done, err := r.hold(who, d, known != of.known, out)
			if err != nil {
				return err
			}
			if !done {
				left = append(left, d)
			}
		}
		clear(of.all[len(left):])
		of.all, of.known = left, known
		if len(left) == 0 {
			delete(r.sent.by, who)
		}
	}
	return nil
}

// hold holds one record to the facts, and tells whether it is done with.
func (r *Router) hold(who string, d *doubt, news bool, out *enrich.Out) (done bool, err error) {
	confirmed := false
	if news {
		var owners []owner.Place
		if owners, confirmed = r.ownersOf(who, d.at); !slices.Equal(owners, d.owners) {
			if err := r.change(d, owners, confirmed, out); err != nil {
				return false, err
			}
		}
	}
	if !confirmed {
		if !r.overdue(d.key) {
			return false, nil
		}
		r.count[doubtful]++
	}
	r.sent.bytes -= d.bytes
	return true, wrap(r.state.Delete("", []byte(d.key)))
}

// change sends a record to its new owners, and takes it back from those who are none. To
// whom is its owner as before nothing is sent.
func (r *Router) change(d *doubt, owners []owner.Place, confirmed bool, out *enrich.Out) error {
	value, err := r.state.Get("", []byte(d.key))
	if err != nil || value == nil {
		return wrap(err)
	}
	_, s, err := readDoubt(value)
	if err != nil {
		return wrap(err)
	}
	was := d.owners
	d.change, d.owners = d.change+1, owners
	s.Change, s.Shared = d.change, len(owners) > 1
	r.count[moved]++
	if err := r.sendAll(s, without(owners, was, s.Shared == (len(was) > 1)), out); err != nil {
		return err
	}
	s.Withdrawn, s.Shared = true, false
	if err := r.sendAll(s, without(was, owners, true), out); err != nil || confirmed {
		return err
	}
	s.Withdrawn = false
	if value, err = d.encode(s); err != nil {
		return err
	}
	r.sent.bytes += weight(d.key, len(value)) - d.bytes
	d.bytes = weight(d.key, len(value))
	return wrap(r.state.Put("", []byte(d.key), value))
}

// without is all but those that others has too, or all of them.
func without(all, others []owner.Place, leave bool) (rest []owner.Place) {
	for _, p := range all {
		if !leave || !slices.Contains(others, p) {
			rest = append(rest, p)
		}
	}
	return rest
}

func (d *doubt) encode(s *enrich.Side) ([]byte, error) {
	b := compact.Number(compact.Number(nil, sentFormat), uint64(d.change))
	b = compact.Number(b, uint64(len(d.owners)))
	for _, o := range d.owners {
		b = compact.Number(compact.Text(b, string(o.Host)), uint64(o.Partition))
	}
	envelope := *s
	envelope.Host, envelope.Shared = nobody, false
	text, err := envelope.Append(nil)
	if err != nil {
		return nil, wrap(err)
	}
	return compact.Text(b, string(text)), nil
}

var errDoubt = errors.New("a record in doubt has more owners than there can be")

// readDoubt reads what encode wrote.
func readDoubt(value []byte) (*doubt, *enrich.Side, error) {
	b := compact.NewReader(value)
	b.Format(sentFormat)
	d := &doubt{change: int(b.Number())}
	n := b.Length()
	if n > owner.MaxOwners {
		return nil, nil, errDoubt
	}
	for range n {
		d.owners = append(d.owners, owner.Place{Host: enrich.Host(b.Text()), Partition: int32(b.Number())})
	}
	text := b.Text()
	if err := b.Err(); err != nil {
		return nil, nil, fmt.Errorf("a record in doubt: %w", err)
	}
	s, err := enrich.ReadSide([]byte(text))
	if err != nil {
		return nil, nil, fmt.Errorf("a record in doubt: %w", err)
	}
	return d, s, nil
}
