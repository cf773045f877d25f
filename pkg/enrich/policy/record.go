package policy

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

// Bounds of what a record keeps.
const (
	maxEvidence    = 32
	maxExecutables = 32
	maxCounted     = 64
	maxText        = 512
)

// Keys in the State: recordKey, day and id of a finding, under its host; noisyKey,
// rule and hour of what is over the bound, under no host.
const (
	recordKey = 'm'
	noisyKey  = 'n'
)

func keyOf(day int64, id string) string {
	raw, _ := hex.DecodeString(id) // ours
	key := binary.BigEndian.AppendUint64([]byte{recordKey}, uint64(day)^1<<63)
	return string(append(key, raw...))
}

// hit is what one event adds to a finding.
type hit struct {
	event uint64 // a hash of its id, even; odd where it is suppressed
	again bool
	// retro tells that a feed learned of the indicator after it was met.
	retro      bool
	at         time.Time
	severity   finding.Severity
	confidence int
	suppressed string
	hostName   string
	what       string
	executable string
	techniques []string
	evidence   finding.Evidence
	threats    []*enrich.Threat
	process    []byte
	session    string
}

func newHit(e *enrich.Event, g *group, severity finding.Severity, s *Suppression) *hit {
	h := &hit{
		event: hashOf(e.ID), again: e.Again && !g.retro(), retro: g.retro(), at: e.Time, severity: severity, confidence: g.confidence(), hostName: e.HostIdentifier.Text(),
		what: clip(sentence(e, g)), executable: clip(executable(e)), techniques: g.techniques(),
		evidence: finding.Evidence{ID: e.ID, Position: e.Position}, threats: g.threats,
	}
	if s != nil {
		h.suppressed = s.String()
		h.event |= 1
	}
	if e.Process != nil {
		h.process = enrich.AppendProcess(nil, e.Process)
	}
	if e.Session != nil {
		h.session = string(enrich.AppendSession(nil, e.Session))
	}
	return h
}

// hashOf is the same in every process, and even.
func hashOf(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // a hash never fails
	return h.Sum64() &^ 1
}

func clip(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// record is a finding between its revisions.
type record struct {
	id, rule         string
	day              int64
	revision         int64
	told             time.Time
	dirty            bool
	retro            bool // a hit was found in what had passed
	first, last      time.Time
	open, suppressed int64
	severity         finding.Severity
	confidence       int
	hostName, what   string
	why              string // of the last suppression
	executables      []string
	techniques       []string
	evidence         []finding.Evidence
	counted          []uint64 // the last events that are
	// copied is the event of which the copies are.
	copied  uint64
	copies  finding.Copies
	session string
}

// verdict is what a person has to know at once.
type verdict struct {
	status   finding.Status
	severity finding.Severity
}

func (r *record) verdict() verdict { return verdict{r.status(), r.severity} }

func (r *record) status() finding.Status {
	switch {
	case r.open > 0:
		return finding.Open
	case r.suppressed > 0:
		return finding.Suppressed
	}
	return finding.Retracted
}

// anothers is why a finding is retracted.
const anothers = "What a sensor saw turned out to be another host's."

// takeBack takes an event out that was counted and turned out to be another host's. What
// else is told of it stays, but for its evidence.
func (r *record) takeBack(h *hit) (changed bool) {
	at := slices.IndexFunc(r.counted, func(c uint64) bool { return c|1 == h.event|1 })
	if at < 0 {
		return false
	}
	r.tally(r.counted[at], -1)
	r.counted = slices.Delete(r.counted, at, at+1)
	r.evidence = slices.DeleteFunc(r.evidence, func(e finding.Evidence) bool { return e.ID == h.evidence.ID })
	if r.open+r.suppressed == 0 {
		r.why = anothers
	}
	return true
}

// add takes a hit in, and tells whether that changed anything. An event that was
// counted before may only say more.
func (r *record) add(h *hit) (changed bool) {
	at := slices.IndexFunc(r.counted, func(c uint64) bool { return c|1 == h.event|1 })
	switch {
	case !h.again && (!h.retro || at < 0):
		r.count(h)
		r.retro = r.retro || h.retro
		changed = true
	case at >= 0:
		changed = r.recount(at, h)
	case r.open+r.suppressed < maxCounted: // first met when it was asked about again
		r.count(h)
		changed = true
	}
	return r.improve(h) || changed
}

func (r *record) count(h *hit) {
	r.tally(h.event, 1)
	if len(r.counted) == maxCounted {
		r.counted = slices.Delete(r.counted, 0, 1)
	}
	r.counted = append(r.counted, h.event)
	if r.first.IsZero() || h.at.Before(r.first) {
		r.first = h.at
	}
	if h.at.After(r.last) {
		r.last = h.at
	}
	if len(r.evidence) < maxEvidence {
		r.evidence = append(r.evidence, h.evidence)
	}
	if h.suppressed != "" {
		r.why = h.suppressed
	}
}

func (r *record) tally(event uint64, n int64) {
	if event&1 == 1 {
		r.suppressed += n
	} else {
		r.open += n
	}
}

// recount notes that a counted event is suppressed now, or no longer.
func (r *record) recount(at int, h *hit) (changed bool) {
	if r.counted[at] == h.event {
		return false
	}
	r.tally(r.counted[at], -1)
	r.tally(h.event, 1)
	r.counted[at] = h.event
	if h.suppressed != "" {
		r.why = h.suppressed
	}
	return true
}

// improve takes what h says better: the worst that happened stands for all.
func (r *record) improve(h *hit) (changed bool) {
	if h.executable != "" && len(r.executables) < maxExecutables && !slices.Contains(r.executables, h.executable) {
		r.executables, changed = append(r.executables, h.executable), true
	}
	for _, t := range h.techniques {
		if len(r.techniques) < maxEvidence && !slices.Contains(r.techniques, t) {
			r.techniques, changed = append(r.techniques, t), true
		}
	}
	if h.confidence > r.confidence {
		r.confidence, changed = h.confidence, true
	}
	if r.hostName == "" {
		r.hostName = h.hostName
	}
	worse := r.severity == "" || h.severity.Above(r.severity)
	if worse {
		r.severity, changed = h.severity, true
	}
	if worse || h.event|1 == r.copied|1 || len(r.copies.Process) == 0 && len(h.process) > 0 {
		changed = r.copy(h) || changed
	}
	return changed
}

func (r *record) copy(h *hit) (changed bool) {
	changed = r.what != h.what || r.session != h.session || string(r.copies.Process) != string(h.process)
	copies := finding.Copies{Process: h.process, Threats: r.firstTold(h.threats)}
	r.copied, r.what, r.copies, r.session = h.event, h.what, copies, h.session
	return changed
}

// firstTold are the matches as JSON. Since when a list here has an indicator, and when it
// left, each process knows by its own clock: what the finding told first stands, whoever
// owns it now.
func (r *record) firstTold(threats []*enrich.Threat) (list []byte) {
	told := r.times()
	for i, t := range threats {
		if i > 0 {
			list = append(list, ',')
		}
		c, first := *t, told[timesOf{t.Feed, t.Indicator}]
		if !first.seen.IsZero() {
			c.FirstSeenHere = first.seen
		}
		if !first.gone.IsZero() && !c.Delisted.IsZero() { // else it is listed again
			c.Delisted = first.gone
		}
		list = enrich.AppendThreat(list, &c)
	}
	return list
}

// timesOf names an indicator of a list.
type timesOf struct{ feed, indicator string }

type times struct{ seen, gone time.Time }

// times are those that the finding told; none where another version told them.
func (r *record) times() map[timesOf]times {
	var all []struct {
		Indicator struct{ Name string }
		Feed      struct {
			Name          string
			FirstSeenHere time.Time `json:"first_seen_here"`
			Delisted      time.Time
		}
	}
	_ = json.Unmarshal(append(append([]byte{'['}, r.copies.Threats...), ']'), &all)
	told := map[timesOf]times{}
	for _, t := range all {
		told[timesOf{t.Feed.Name, t.Indicator.Name}] = times{t.Feed.FirstSeenHere, t.Feed.Delisted}
	}
	return told
}
