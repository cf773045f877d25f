package cloudtrail

import (
	"slices"
	"time"
)

// maxHops bounds a chain of keys. AWS itself allows role chains of any length, each
// of an hour at most.
const maxHops = 8

// Why a chain ends before its root.
const (
	IssuerUnknown = "issuer_unknown" // no record of the key's issue was seen
	ChainCut      = "chain_cut"      // more than eight keys, each issued to the one before
	ChainCycle    = "chain_cycle"    // the records say that a key issued itself
)

// Chain is the way from a call back to the principal that began it.
type Chain struct {
	// Root is the principal where the way ends; where Gap is set, the last that is
	// known.
	Root Actor
	// Hops are the keys on the way, that of the call first.
	Hops []Hop
	// Gap is why the way ends early, or empty.
	Gap string
	// Login is the console login that the way began with, nil where there is none
	// or several could be it.
	Login *Fact
}

// Hop is the issue of one key.
type Hop struct {
	KeyID, Via, EventID string
	Time                time.Time
	// By is who the key was issued to do it with: the caller of Via.
	By Actor
}

// Chain follows the keys of r's caller back to the principal that began it. A key that
// CreateAccessKey made is a hop, but the user it belongs to is the root: whoever made
// it does not act through it.
func (t *Table) Chain(r *Record) Chain { return t.ChainOf(actorOf(r)) }

// ChainOf is Chain for the caller that a fact names.
func (t *Table) ChainOf(a Actor) Chain {
	var c Chain
	t.follow(&c, a)
	return c
}

// follow is ChainOf into c, whose hops' memory is used again.
func (t *Table) follow(c *Chain, a Actor) {
	*c = Chain{Root: a, Hops: c.Hops[:0]}
	for {
		if c.Login == nil {
			c.Login = t.login(&c.Root)
		}
		issue := t.issue(c.Root.AccessKeyID)
		switch {
		case issue == nil:
			c.Gap = unexplained(&c.Root)
			return
		case slices.ContainsFunc(c.Hops, func(h Hop) bool { return h.KeyID == issue.Subject }):
			c.Gap = ChainCycle
			return
		case len(c.Hops) == maxHops:
			c.Gap = ChainCut
			return
		}
		c.Hops = append(c.Hops, Hop{KeyID: issue.Subject, Via: issue.Via, EventID: issue.EventID, Time: issue.Time, By: issue.Actor})
		if issue.Via == "CreateAccessKey" {
			return
		}
		c.Root = issue.Actor
	}
}

// issue is the record of a key's issue, of two accounts' copies that which says more
// of the caller.
func (t *Table) issue(key string) (best *Fact) {
	for _, f := range t.of(FactIssuedKey, key) {
		if best == nil || detail(f) > detail(best) {
			best = f
		}
	}
	return best
}

func detail(f *Fact) int {
	n := 0
	for _, text := range []string{f.Actor.AccessKeyID, f.Actor.ARN, f.Actor.Service} {
		if text != "" {
			n++
		}
	}
	return n
}

// unexplained says whether more should be known of a principal whose key was not seen
// to be issued: that of a role's session was issued to somebody. A user's, a service's
// or a provider's is an end of its own.
func unexplained(a *Actor) string {
	if a.Type == "AssumedRole" && a.Service == "" {
		return IssuerUnknown
	}
	return ""
}

// loginWithin is how far a console session's creation may be from the login.
const loginWithin = time.Minute

// login finds the login of a principal's console session: the nearest one within a
// minute of the session's creation. A tie is no answer.
func (t *Table) login(a *Actor) (best *Fact) {
	if a.SessionCreated.IsZero() {
		return nil
	}
	var distance time.Duration
	tied := false
	logins := t.of(FactLogin, a.PrincipalID)
	first, _ := slices.BinarySearchFunc(logins, a.SessionCreated.Add(-loginWithin), func(f *Fact, at time.Time) int { return f.Time.Compare(at) })
	for _, f := range logins[first:] {
		d := f.Time.Sub(a.SessionCreated).Abs()
		if d > loginWithin {
			break // they are in order of time
		}
		if f.Login == nil || f.Login.Failed {
			continue
		}
		if best == nil || d < distance {
			best, distance, tied = f, d, false
		} else if d == distance {
			tied = true
		}
	}
	if tied {
		return nil
	}
	return best
}
