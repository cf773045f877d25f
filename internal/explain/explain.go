// Package explain tells how a record came about: which row, which process version
// and which feed line made each part of it, how late each was, and what can no
// longer be shown. It reads the evidence again; it never asks a join anew.
//
// It must never print what an attacker wrote without showing control characters and
// defanging addresses.
package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Place is where a record was read: in a topic, or as a line of a file.
type Place struct {
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition,omitempty"`
	Offset    int64  `json:"offset,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int64  `json:"line,omitempty"`
}

// String is topic/partition/offset, or file:line.
func (p Place) String() string {
	if p.File != "" {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset)
}

// Reader reads evidence again. It returns ErrRemoved for what is no longer there.
type Reader interface {
	Read(ctx context.Context, at Place) ([]byte, error)
}

// ErrRemoved tells that retention has taken a record, or a file its line.
var ErrRemoved = errors.New("no longer there")

// Step is one piece of evidence and what it reads today.
type Step struct {
	For        string `json:"for"`
	ID         string `json:"id,omitempty"`
	Place      Place  `json:"place"`
	LatenessMS int64  `json:"lateness_ms,omitempty"`
	// Row is what stands there; Problem says why there is none.
	Row     json.RawMessage `json:"row,omitempty"`
	Problem string          `json:"problem,omitempty"`
}

// Match is one indicator that the event met.
type Match struct {
	Indicator, Field, Feed, Generation, How, Provenance, Confidence string
	// Line is what the feed's copy has there; Problem says why it is not shown.
	Line    string `json:",omitempty"`
	Problem string `json:",omitempty"`
}

// ReadFeeds looks up each match's line in the copies of feeds that are kept; kept says
// where it lies, or why it cannot be shown.
func (x *Explanation) ReadFeeds(ctx context.Context, kept func(m *Match) (Place, error)) error {
	for i := range x.Matches {
		m := &x.Matches[i]
		at, err := kept(m)
		if err != nil {
			m.Problem = err.Error()
			continue
		}
		line, err := Files{}.Read(ctx, at)
		switch {
		case errors.Is(err, ErrRemoved):
			m.Problem = err.Error()
		case err != nil:
			return fmt.Errorf("feed %s: %w", m.Feed, err)
		default:
			m.Line = strings.ToValidUTF8(strings.TrimSpace(string(line)), "\ufffd")
		}
	}
	return nil
}

// Explanation is how one record came about.
type Explanation struct {
	ID       string    `json:"id"`
	Revision int64     `json:"revision"`
	Final    bool      `json:"final"`
	Time     time.Time `json:"time"`
	Source   string    `json:"time_source"`
	Dataset  string    `json:"dataset"`
	Host     string    `json:"host"`
	Process  *Process  `json:"process,omitempty"`
	Steps    []Step    `json:"evidence"`
	Matches  []Match   `json:"matches,omitempty"`
	Gaps     []Gap     `json:"gaps,omitempty"`
}

// Process is a process as the record tells it, with its ancestors.
type Process struct {
	EntityID    string    `json:"entity_id"`
	PID         int64     `json:"pid"`
	Executable  string    `json:"executable,omitempty"`
	CommandLine string    `json:"command_line,omitempty"`
	Start       time.Time `json:"start,omitzero"`
	Inferred    bool      `json:"inferred,omitempty"`
	Ancestors   []Process `json:"ancestors,omitempty"`
}

// Gap is what the record says could not be known.
type Gap struct {
	Question string `json:"question"`
	Reason   string `json:"reason"`
}

// record is what is read of an enriched record.
type record struct {
	Enrichment *struct {
		Timestamp time.Time `json:"@timestamp"`
		Source    string    `json:"time_source"`
		Event     struct {
			ID       string
			Revision int64
			Final    bool
			Dataset  string
		}
		Host struct {
			ID, Name string
		}
		Process *Process
		Threat  struct {
			Enrichments []struct {
				Indicator struct{ Name, Confidence string }
				Matched   struct{ Field string }
				Feed      struct{ Name, Generation, Match, Provenance string }
			}
		}
		Gaps     []Gap
		Evidence []struct {
			Place
			For        string
			ID         string
			LatenessMS int64 `json:"lateness_ms"`
		}
	}
}

// ErrNotEnriched tells that a record has no enrichment.
var ErrNotEnriched = errors.New("not an enriched record: it has no member enrichment")

// Explain reads a record's evidence again. An error means that the record is not an
// enriched one, or that reading failed in a way that says nothing about the evidence.
func Explain(ctx context.Context, value []byte, from Reader) (*Explanation, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if r.Enrichment == nil {
		return nil, ErrNotEnriched
	}
	e := r.Enrichment
	x := &Explanation{
		ID: e.Event.ID, Revision: e.Event.Revision, Final: e.Event.Final, Time: e.Timestamp, Source: e.Source,
		Dataset: e.Event.Dataset, Host: e.Host.Name, Process: e.Process, Gaps: e.Gaps,
	}
	if x.Host == "" {
		x.Host = e.Host.ID
	}
	for _, t := range e.Threat.Enrichments {
		x.Matches = append(x.Matches, Match{
			Indicator: t.Indicator.Name, Confidence: t.Indicator.Confidence, Field: t.Matched.Field,
			Feed: t.Feed.Name, Generation: t.Feed.Generation, How: t.Feed.Match, Provenance: t.Feed.Provenance,
		})
	}
	for _, ev := range e.Evidence {
		step := Step{For: ev.For, ID: ev.ID, Place: ev.Place, LatenessMS: ev.LatenessMS}
		if step.For == "" {
			step.For = "row"
		}
		if err := step.read(ctx, from); err != nil {
			return nil, err
		}
		x.Steps = append(x.Steps, step)
	}
	return x, nil
}

func (s *Step) read(ctx context.Context, from Reader) error {
	row, err := from.Read(ctx, s.Place)
	switch {
	case errors.Is(err, ErrRemoved):
		s.Problem = err.Error()
	case err != nil:
		return fmt.Errorf("evidence at %s: %w", s.Place, err)
	case json.Valid(row):
		s.Row = bytes.Clone(bytes.TrimSpace(row))
	default:
		s.Problem = "what stands there is not JSON"
	}
	return nil
}
