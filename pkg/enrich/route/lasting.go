package route

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/stackjoin/stackjoin/internal/sweep"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// lasting knows the facts that this partition stated about instances: "i", a byte of a
// hash of the instance, its id, a zero byte and the fact's key, with its kind. They last
// as long as the instance does, whose end another partition may state: so what all
// partitions stated is asked, in slices.
type lasting struct {
	state enrich.State
	facts *cloudtrail.Table
	sweep sweep.Sweeper // by the byte of the hash
}

const lastingKey = "i"

// endsWith is the instance with which a fact ends, empty for none.
func endsWith(f *cloudtrail.Fact) string {
	switch f.Kind {
	case cloudtrail.FactLaunch, cloudtrail.FactProfile, cloudtrail.FactAgent:
		return f.Subject
	case cloudtrail.FactInterface, cloudtrail.FactAddress:
		if f.Interface != nil {
			return f.Interface.Instance
		}
	}
	return ""
}

// note keeps whose fact it is.
func (l *lasting) note(f *cloudtrail.Fact, key string) error {
	instance := endsWith(f)
	if instance == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(instance))
	own := append(append(append([]byte(lastingKey), sum[0]), instance...), 0)
	return wrap(l.state.Put("", append(own, key...), []byte(f.Kind)))
}

// forget deletes the facts about instances that ended long ago.
func (l *lasting) forget(now time.Time, out *enrich.Out) error {
	if now.IsZero() {
		return nil // no broker tells the time
	}
	return l.sweep.Due(now, func(slice byte) error { return l.slice(slice, now, out) })
}

func (l *lasting) slice(slice byte, now time.Time, out *enrich.Out) error {
	prefix := append([]byte(lastingKey), slice)
	over := map[string]bool{}
	type fact struct{ own, key, kind string }
	var old []fact
	err := l.state.Scan("", prefix, func(own, kind []byte) error {
		instance, key, ok := bytes.Cut(own[len(prefix):], []byte{0})
		if !ok {
			return nil
		}
		ended, known := over[string(instance)]
		if !known {
			ended = l.ended(string(instance), now)
			over[string(instance)] = ended
		}
		if ended {
			old = append(old, fact{string(own), string(key), string(kind)})
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

// ended tells that an instance was terminated so long ago that nothing is asked of it.
func (l *lasting) ended(instance string, now time.Time) bool {
	for _, f := range l.facts.Of(cloudtrail.FactInstanceEnd, instance) {
		if now.Sub(f.Time) > factsFor {
			return true
		}
	}
	return false
}
