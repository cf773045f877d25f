package policy

import (
	"errors"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

// format is the number that values in the State begin with, and retroFormat of a
// finding that was found in what had passed.
const (
	format      = 1
	retroFormat = 2
)

func (r *record) encode() []byte {
	f := uint64(format)
	if r.retro {
		f = retroFormat
	}
	b := compact.Number(nil, f)
	b = compact.Text(compact.Text(b, r.id), r.rule)
	b = compact.Number(compact.Number(b, uint64(r.day)), uint64(r.revision))
	b = compact.Truth(compact.Time(b, r.told), r.dirty)
	b = compact.Time(compact.Time(b, r.first), r.last)
	b = compact.Number(compact.Number(b, uint64(r.open)), uint64(r.suppressed))
	b = compact.Number(compact.Text(b, string(r.severity)), uint64(r.confidence))
	b = compact.Text(compact.Text(compact.Text(b, r.hostName), r.what), r.why)
	b = appendTexts(appendTexts(b, r.executables), r.techniques)
	b = compact.Number(b, uint64(len(r.evidence)))
	for i := range r.evidence {
		b = appendEvidence(b, &r.evidence[i])
	}
	b = compact.Number(b, uint64(len(r.counted)))
	for _, c := range r.counted {
		b = compact.Number(b, c)
	}
	b = compact.Number(b, r.copied)
	return compact.Text(compact.Text(compact.Text(b, string(r.copies.Process)), string(r.copies.Threats)), r.session)
}

// readRecord reads what encode wrote.
func readRecord(value []byte) (*record, error) {
	b := compact.NewReader(value)
	f := b.Formats(format, retroFormat)
	r := &record{retro: f == retroFormat, id: b.Text(), rule: b.Text(), day: int64(b.Number()), revision: int64(b.Number()), told: b.Time(), dirty: b.Truth()}
	r.first, r.last = b.Time(), b.Time()
	r.open, r.suppressed = int64(b.Number()), int64(b.Number())
	r.severity, r.confidence = finding.Severity(b.Text()), int(b.Number())
	r.hostName, r.what, r.why = b.Text(), b.Text(), b.Text()
	r.executables, r.techniques = readTexts(b), readTexts(b)
	for range b.Length() {
		r.evidence = append(r.evidence, readEvidence(b))
	}
	for range b.Length() {
		r.counted = append(r.counted, b.Number())
	}
	r.copied = b.Number()
	r.copies = finding.Copies{Process: []byte(b.Text()), Threats: []byte(b.Text())}
	r.session = b.Text()
	if b.Err() == nil && b.Rest() > 0 {
		b.Fail(errors.New("bytes left over"))
	}
	return r, b.Err()
}

func appendTexts(b []byte, texts []string) []byte {
	b = compact.Number(b, uint64(len(texts)))
	for _, s := range texts {
		b = compact.Text(b, s)
	}
	return b
}

func readTexts(b *compact.Reader) (all []string) {
	for range b.Length() {
		all = append(all, b.Text())
	}
	return all
}

func appendEvidence(b []byte, e *finding.Evidence) []byte {
	p := &e.Position
	b = compact.Text(compact.Text(compact.Text(b, e.ID), p.Topic), p.File)
	return compact.Number(compact.Number(compact.Number(b, uint64(p.Partition)), uint64(p.Offset)), uint64(p.Line))
}

func readEvidence(b *compact.Reader) finding.Evidence {
	e := finding.Evidence{ID: b.Text(), Position: enrich.Position{Topic: b.Text(), File: b.Text()}}
	e.Position.Partition, e.Position.Offset, e.Position.Line = int32(b.Number()), int64(b.Number()), int64(b.Number())
	return e
}
