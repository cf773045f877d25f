package cloudtrail

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// SchemaEnriched is the schema of what Enricher.Append writes.
const SchemaEnriched = "stackjoin.cloudtrail.enriched/1"

// TimeMissing is the gap of a record without a time that can be read.
const TimeMissing = "time_unknown"

// Reputation is what is known of addresses; *reputation.Index implements it.
type Reputation interface {
	// Address appends the indicators that hold a, without Field and Atomic.
	Address(dst []enrich.Threat, a netip.Addr, port uint16, at time.Time) []enrich.Threat
	// Missing names the feeds that were never loaded.
	Missing() []string
}

// Geo is where addresses are; *geo.Store implements it.
type Geo interface {
	Locate(a netip.Addr) enrich.Location
	// Missing tells whether a database was never loaded.
	Missing() bool
}

// Labels are what owners call things: *cloud.Labels implements it.
type Labels interface {
	// AppendLabels appends, as a JSON list, what is known of an account, image, bucket
	// and addresses, any of which may be empty; nothing where nothing is.
	AppendLabels(dst []byte, account, image, bucket string, addresses ...string) []byte
}

// Enricher writes records with what facts and feeds tell of them. It is for one
// goroutine, which may add facts to its Table meanwhile.
type Enricher struct {
	Facts      *Table
	Reputation Reputation
	Geo        Geo    // nil for none
	Labels     Labels // nil without
	buf, line  []byte
	last       answer // whose memory is used again, but for what a Summary has
}

// Place is where a record was read: a place in a topic, or in a file, where Number
// counts the records of a file from 1.
type Place struct {
	enrich.Position
	Number int64
	// Appended is when the record became readable; zero when nobody knows.
	Appended time.Time
}

// Summary says what Append found.
type Summary struct {
	ID      string
	Matches int
	Gaps    []enrich.Gap
	// Instance is the one whose credentials called, empty where nothing proves it.
	Instance string
}

// maxEnrichment is what an enrichment may weigh, as that of a row.
const maxEnrichment = 64 << 10

// shapes are the limits of matches and of one text, tried until the enrichment fits.
// The last always does.
func shapes() [3]shapeLimit { return [...]shapeLimit{{64, 4 << 10}, {32, 512}, {8, 64}} }

type shapeLimit struct{ matches, text int }

// Append appends the record on one line with enrichment as its last member. The
// record's own members are their bytes as they were, but for secrets, whose places
// the enrichment names, for bytes that JSON does not allow, and for white space
// between the tokens of a record of several lines. The error is only for an r that
// Parse did not make.
func (e *Enricher) Append(dst []byte, r *Record, at Place, ingested time.Time) ([]byte, Summary, error) {
	redacted, paths := r.Raw, []string(nil)
	if !r.plain {
		var err error
		if redacted, paths, err = appendRedacted(e.buf[:0], r.Raw); err != nil {
			return dst, Summary{}, fmt.Errorf("copy of record %s: %w", r.ID(), err)
		}
		e.buf = redacted
	}
	e.line = appendLine(e.line[:0], redacted)
	if r.clean && utf8.Valid(e.line) { // as all text of AWS's is
		dst = append(dst, e.line...)
	} else {
		dst = event.AppendMended(dst, e.line)
	}
	dst = bytes.TrimRight(dst[:len(dst)-1], " \t")
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, `"enrichment":`...)
	a := e.answer(r, at)
	a.redacted = paths
	start := len(dst)
	for _, limit := range shapes() {
		if dst = a.append(dst[:start], ingested, limit); len(dst)-start <= maxEnrichment {
			break
		}
	}
	summary := Summary{ID: a.id, Matches: len(a.threats), Gaps: a.gaps}
	if a.host.Proof != ProofSessionName {
		summary.Instance = a.host.ID
	}
	return append(dst, '}'), summary, nil
}

// answer is what is known of one record.
type answer struct {
	record   *Record
	id       string
	at       Place
	chain    Chain
	host     Host
	threats  []enrich.Threat
	gaps     []enrich.Gap
	redacted []string
	location enrich.Location // of the call's address
	labels   []byte
}

func (e *Enricher) answer(r *Record, at Place) *answer {
	a := &e.last
	*a = answer{record: r, id: r.ID(), at: at, chain: a.chain, host: a.host, threats: a.threats[:0], labels: a.labels[:0]}
	e.Facts.follow(&a.chain, actorOf(r))
	e.Facts.host(&a.host, r)
	if r.Time.IsZero() {
		a.gap("time", TimeMissing)
	}
	if a.chain.Gap != "" && (a.host.ID == "" || a.host.Proof == ProofSessionName) {
		a.gap("principal", a.chain.Gap)
	}
	switch {
	case a.host.Proof == ProofSessionName:
		a.gap("host", InstanceForgeable)
	case a.host.ID != "" && a.host.Launch == nil:
		a.gap("launch", LaunchUnknown)
	}
	e.addresses(a)
	e.locate(a)
	e.label(a)
	return a
}

// label asks what owners call what the record is about.
func (e *Enricher) label(a *answer) {
	if e.Labels == nil {
		return
	}
	image, addresses := "", []string{a.record.Source.Text}
	if l := a.host.Launch; l != nil && l.Launch != nil {
		image = l.Launch.ImageID
		addresses = append(addresses, a.host.Launcher.Actor.Source)
	}
	bucket := nodeOf(a.record.Request).get("bucketName").text()
	a.labels = e.Labels.AppendLabels(a.labels, a.record.Account(), image, bucket, addresses...)
}

func (a *answer) gap(question, reason string) {
	a.gaps = append(a.gaps, enrich.Gap{Question: question, Reason: reason})
}

// addresses asks about the address of the call, and about the one that the instance
// was launched from.
func (e *Enricher) addresses(a *answer) {
	if e.Reputation == nil {
		return
	}
	asked := e.address(a, "source.ip", a.record.Source, a.record.Time)
	if l := a.host.Launcher; l != nil {
		asked = e.address(a, "aws.instance.launch.source", sourceOf(l.Actor.Source), l.Time) || asked
	}
	if asked && len(e.Reputation.Missing()) > 0 {
		a.gap("reputation", enrich.FeedUnavailable)
	}
}

// locate asks where the call came from.
func (e *Enricher) locate(a *answer) {
	if e.Geo == nil || a.record.Source.Kind != SourceAddress {
		return
	}
	a.location = e.Geo.Locate(a.record.Source.Addr)
	if e.Geo.Missing() {
		a.gap("geo", enrich.GeoUnavailable)
	}
}

func (e *Enricher) address(a *answer, field string, s Source, at time.Time) (asked bool) {
	if s.Kind != SourceAddress {
		return false
	}
	before := len(a.threats)
	a.threats = e.Reputation.Address(a.threats, s.Addr, 0, at)
	for i := before; i < len(a.threats); i++ {
		a.threats[i].Field, a.threats[i].Atomic = field, s.Text
	}
	return true
}
