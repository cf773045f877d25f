package route

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// ends knows when to delete facts about what ends by itself: "e", the time in 8 bytes,
// and the fact's key, with its kind.
type ends struct {
	state  enrich.State
	looked time.Time
}

const (
	endsKey = "e"
	// factsFor is how long such a fact stays after the end, and after it was stated.
	factsFor = 30 * 24 * time.Hour
	// longest is more than a session or command of SSM, or a login at the console, lasts.
	longest = 48 * time.Hour
	// endsAtOnce bounds what one record waits for.
	endsAtOnce = 1000
)

// endOf is when what a fact describes is over; ok is false for what lasts until
// something else is stated, or for ever.
func endOf(f *cloudtrail.Fact) (end time.Time, ok bool) {
	switch f.Kind {
	case cloudtrail.FactIssuedKey, cloudtrail.FactSSHKey:
		return f.Until, !f.Until.IsZero()
	case cloudtrail.FactSession, cloudtrail.FactSessionEnd, cloudtrail.FactCommand, cloudtrail.FactLogin:
		return f.Time.Add(longest), true
	case cloudtrail.FactInstanceEnd, cloudtrail.FactKeyEnd, cloudtrail.FactInterfaceEnd, cloudtrail.FactAddressEnd: // they outlive what they end (lasting)
		return f.Time.Add(factsFor), true
	}
	return time.Time{}, false
}

// note keeps when a fact is to be deleted, by the broker's time.
func (e *ends) note(f *cloudtrail.Fact, key string, now time.Time) error {
	end, ok := endOf(f)
	if !ok || now.IsZero() {
		return nil
	}
	if end.Before(now) {
		end = now // what comes late is asked about late
	}
	own := binary.BigEndian.AppendUint64([]byte(endsKey), uint64(end.Add(factsFor).UnixNano()))
	return wrap(e.state.Put("", append(own, key...), []byte(f.Kind)))
}

var errLater = errors.New("the rest is for later")

// sweep deletes what is due, once a minute.
func (e *ends) sweep(now time.Time, out *enrich.Out) error {
	if now.Sub(e.looked) < lookEvery {
		return nil
	}
	type due struct{ own, kind string }
	var all []due
	err := e.state.Scan("", []byte(endsKey), func(key, kind []byte) error {
		if len(key) < len(endsKey)+8 {
			return nil
		}
		at := time.Unix(0, int64(binary.BigEndian.Uint64(key[len(endsKey):])))
		if at.After(now) || len(all) == endsAtOnce {
			return errLater
		}
		all = append(all, due{string(key), string(kind)})
		return nil
	})
	if err != nil && !errors.Is(err, errLater) {
		return wrap(err)
	}
	for _, d := range all {
		if err := e.state.Delete("", []byte(d.own)); err != nil {
			return wrap(err)
		}
		out.Add(owner.Deleting(d.own[len(endsKey)+8:], d.kind))
	}
	if len(all) < endsAtOnce {
		e.looked = now
	}
	return nil
}
