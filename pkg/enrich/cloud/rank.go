package cloud

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// The window around a call in which a process must be seen to be asked about it. The
// call is logged when it is answered.
const (
	windowBefore = time.Minute
	windowAfter  = 5 * time.Second
)

// Status says what a link is worth.
type Status string

// The statuses of a link between a call and a process.
const (
	Attributed Status = "attributed" // one process, by its network evidence or its command line
	Possible   Status = "possible"   // the best of those that may be it
	Unseen     Status = "none"       // no process was seen that may be it
)

// Reasons, and what each adds to a candidate's score.
const (
	byParameter = "parameter" // 4: a text of the request stands in its command line
	byName      = "name"      // 3: it looked up or spoke to the name that was called
	byAgent     = "agent"     // 2: its program is of the user agent's family
	byMetadata  = "metadata"  // 2: it spoke to the metadata service while the credentials lived
	byTree      = "tree"      // 1: the process that started it, or itself, did
	// otherAgent takes 3 away: its program is of another family than the user agent's,
	// which anyone may write, so that it stays a candidate.
	otherAgent = "other_agent"
)

func weight(reason string) int {
	switch reason {
	case byParameter:
		return 4
	case byName:
		return 3
	case byTree:
		return 1
	case otherAgent:
		return -3
	}
	return 2
}

// proven is the score from which one candidate alone is the answer.
const proven = 3

// maxPossible is how many candidates are told.
const maxPossible = 3

// candidate is a process that may have made a call.
type candidate struct {
	process *sighting // the one that says most of it
	reasons []string
	score   int
}

func (c *candidate) has(reason string) bool { return slices.Contains(c.reasons, reason) }

// strong tells evidence that a coincidence in time is not.
func (c *candidate) strong() bool { return c.has(byParameter) || c.has(byName) }

// rank finds the processes that may have made a call among what was seen on its host.
// What it answers does not depend on the order of seen.
func rank(c *call, seen []*sighting, mounts []*mount) (Status, []candidate) {
	all := map[string]*candidate{}
	from, to := c.First.Add(-windowBefore), c.Last.Add(windowAfter)
	touched := touchedMetadata(c, seen)
	for _, s := range seen {
		if s.What != started && s.What != named || s.At.Before(from) || s.At.After(to) {
			continue
		}
		take(all, s).judge(c, s, touched)
	}
	for _, m := range mounts {
		if m.Process == nil || m.Bucket != c.Bucket || c.Bucket == "" || !m.heldAt(c.First) || c.Agent != "" && c.Agent != m.Process.family() {
			continue
		}
		take(all, m.Process).judge(c, m.Process, touched)
	}
	return settle(all)
}

func take(all map[string]*candidate, s *sighting) *candidate {
	one := all[s.subject()]
	if one == nil {
		one = &candidate{process: s}
		all[s.subject()] = one
	}
	if fuller(s, one.process) {
		one.process = s
	}
	return one
}

// fuller tells the sighting that says more of its process; a tie goes to the earlier.
func fuller(s, than *sighting) bool {
	return cmp.Or(cmp.Compare(len(s.CommandLine), len(than.CommandLine)), cmp.Compare(len(s.Above), len(than.Above)),
		-s.At.Compare(than.At), -cmp.Compare(s.Event, than.Event)) > 0
}

// touchedMetadata are the processes, and the parents of those, that spoke to the
// metadata service while the call's credentials lived.
func touchedMetadata(c *call, seen []*sighting) map[string]bool {
	touched := map[string]bool{}
	for _, s := range seen {
		if s.What != metadata || s.At.After(c.Last.Add(windowAfter)) || s.At.Before(c.Session.Add(-windowBefore)) && !c.Session.IsZero() {
			continue
		}
		touched[s.subject()] = true
		if s.Parent != "" {
			touched["child of "+s.Parent] = true
		}
	}
	return touched
}

func (k *candidate) judge(c *call, s *sighting, touched map[string]bool) {
	if slices.ContainsFunc(s.Names, func(name string) bool { return c.calls(name) }) {
		k.add(byName)
	}
	if f := s.family(); f != "" && f == c.Agent {
		k.add(byAgent)
	} else if f != "" && c.Agent != "" {
		k.add(otherAgent)
	}
	if slices.ContainsFunc(c.Parameters, func(p string) bool { return holds(s.CommandLine, p) }) {
		k.add(byParameter)
	}
	if touched[s.subject()] {
		k.add(byMetadata)
	} else if s.Parent != "" && touched["child of "+s.Parent] {
		k.add(byTree)
	}
}

// calls tells whether a name is the one that was called: as the record tells it, or
// else an endpoint of its service.
func (c *call) calls(name string) bool {
	if c.Host != "" {
		return name == c.Host
	}
	return endpointOf(name, c.Service, c.Region)
}

func (k *candidate) add(reason string) {
	if !k.has(reason) {
		k.reasons = append(k.reasons, reason)
		k.score += weight(reason)
	}
}

// settle orders the candidates and says what the first of them is worth.
func settle(all map[string]*candidate) (Status, []candidate) {
	var ranked []candidate
	for _, k := range all {
		if k.has(otherAgent) && len(k.reasons) > 1 {
			k.score = max(k.score, 1)
		}
		if k.score > 0 {
			slices.SortFunc(k.reasons, func(a, b string) int { return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(a, b)) })
			ranked = append(ranked, *k)
		}
	}
	slices.SortFunc(ranked, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), b.process.Start.Compare(a.process.Start), cmp.Compare(a.process.subject(), b.process.subject()))
	})
	ranked = withoutParents(ranked)
	if len(ranked) == 0 {
		return Unseen, nil
	}
	if best := &ranked[0]; best.strong() && best.score >= proven && (len(ranked) == 1 || ranked[1].score < proven) {
		return Attributed, ranked[:1]
	}
	return Possible, ranked[:min(len(ranked), maxPossible)]
}

// withoutParents drops those that only started a better one: the shell of a script has
// the words of what it runs in its command line too.
func withoutParents(ranked []candidate) (kept []candidate) {
	for i, k := range ranked {
		above := slices.ContainsFunc(ranked, func(o candidate) bool {
			return o.score >= k.score && o.strong() && slices.Contains(o.process.Above, k.process.Entity) && k.process.Entity != ""
		})
		if !above || i == 0 && len(ranked) == 1 {
			kept = append(kept, k)
		}
	}
	return kept
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
