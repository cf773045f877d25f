package route

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/sweep"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// lasting knows the facts that this partition stated about what lasts until it is said to
// have ended: "i", a byte of a hash of what a fact ends with, its name, a zero byte and the
// fact's key, with the fact's kind and, behind zero bytes, what else it ends with. Another
// partition may state the end: so what all partitions stated is asked, in slices.
type lasting struct {
	state enrich.State
	facts *cloudtrail.Table
	sweep sweep.Sweeper // by the byte of the hash
}

const lastingKey = "i"

// endsWith are the names of instances, keys, interfaces and what ties and allots them, with
// any of which a fact ends; none for a fact that lasts, or ends by itself. A name is never
// given to anything else: so an address is none.
func endsWith(f *cloudtrail.Fact) (names []string) {
	add := func(all ...string) {
		for _, name := range all {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	switch f.Kind {
	case cloudtrail.FactLaunch, cloudtrail.FactProfile, cloudtrail.FactAgent:
		add(f.Subject)
	case cloudtrail.FactIssuedKey:
		if f.Until.IsZero() {
			add(f.Subject)
		}
	case cloudtrail.FactInterface, cloudtrail.FactAddress:
		if i := f.Interface; i != nil {
			add(i.Instance, i.Association, i.Attachment, i.Allocation, i.ID)
		}
	}
	return names
}

// note keeps what a fact ends with.
func (l *lasting) note(f *cloudtrail.Fact, key string) error {
	names := endsWith(f)
	if len(names) == 0 {
		return nil
	}
	sum := sha256.Sum256([]byte(names[0]))
	own := append(append(append([]byte(lastingKey), sum[0]), names[0]...), 0)
	value := strings.Join(append([]string{string(f.Kind)}, names[1:]...), "\x00")
	return wrap(l.state.Put("", append(own, key...), []byte(value)))
}

// forget deletes the facts about what ended long ago.
func (l *lasting) forget(now time.Time, out *enrich.Out) error {
	if now.IsZero() {
		return nil // no broker tells the time
	}
	return l.sweep.Due(now, func(slice byte) error { return l.slice(slice, now, out) })
}

func (l *lasting) slice(slice byte, now time.Time, out *enrich.Out) error {
	prefix := append([]byte(lastingKey), slice)
	type fact struct{ own, key, kind string }
	var old []fact
	err := l.state.Scan("", prefix, func(own, value []byte) error {
		name, key, ok := bytes.Cut(own[len(prefix):], []byte{0})
		if !ok {
			return nil
		}
		kind, others, _ := strings.Cut(string(value), "\x00")
		if l.ended(string(name), now) || slices.ContainsFunc(strings.Split(others, "\x00"), func(name string) bool { return l.ended(name, now) }) {
			old = append(old, fact{string(own), string(key), kind})
		}
		return nil
	})
	if err != nil {
		return wrap(err)
	}
	for _, f := range old {
		if err := l.state.Delete("", []byte(f.own)); err != nil {
			return wrap(err)
		}
		out.Add(owner.Deleting(f.key, f.kind))
	}
	return nil
}

// ended tells that something ended so long ago that nothing is asked of it.
func (l *lasting) ended(name string, now time.Time) bool {
	for _, kind := range []cloudtrail.FactKind{cloudtrail.FactInstanceEnd, cloudtrail.FactKeyEnd, cloudtrail.FactInterfaceEnd, cloudtrail.FactAddressEnd} {
		for _, f := range l.facts.Of(kind, name) {
			if now.Sub(f.Time) > factsFor {
				return true
			}
		}
	}
	return false
}
