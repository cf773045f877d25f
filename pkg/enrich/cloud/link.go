package cloud

import (
	"encoding/json"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// SchemaLink is the schema of the record that joins an API call with a process.
const SchemaLink = "stackjoin.cloudtrail.link/1"

// LinkKind is its kind.
const LinkKind = "link"

// link is the record. Its members have the names of the Elastic Common Schema, but for
// link and aws.
type link struct {
	Schema    string          `json:"schema"`
	Timestamp stamp           `json:"@timestamp"`
	Event     linkEvent       `json:"event"`
	Host      idOnly          `json:"host"`
	Cloud     machine         `json:"cloud"`
	Link      linked          `json:"link"`
	Process   json.RawMessage `json:"process,omitempty"`
	AWS       linkAWS         `json:"aws"`
	Gaps      []linkGap       `json:"gaps,omitempty"`
	Evidence  []linkEvidence  `json:"evidence"`
}

type stamp time.Time

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	return append(event.AppendTime([]byte{'"'}, time.Time(s)), '"'), nil
}

type linkEvent struct {
	ID       string   `json:"id"`
	Revision int64    `json:"revision"`
	Kind     string   `json:"kind"`
	Category []string `json:"category"`
	Type     []string `json:"type"`
	Provider string   `json:"provider"`
	Action   string   `json:"action"`
	Dataset  string   `json:"dataset"`
	Start    stamp    `json:"start"`
	End      stamp    `json:"end"`
	Ingested stamp    `json:"ingested"`
}

type linked struct {
	Status     Status          `json:"status"`
	Candidates []linkCandidate `json:"candidates,omitempty"`
}

type linkCandidate struct {
	Score   int             `json:"score"`
	Reasons []string        `json:"reasons"`
	Process json.RawMessage `json:"process"`
}

type linkAWS struct {
	Instance linkInstance `json:"instance"`
	Key      string       `json:"access_key,omitempty"`
	Source   string       `json:"source_address,omitempty"`
	Endpoint string       `json:"endpoint,omitempty"`
	Data     *linkData    `json:"data,omitempty"`
	Labels   []Labelled   `json:"labels,omitempty"`
}

type linkInstance struct {
	ID    string `json:"id"`
	Proof string `json:"proof"`
}

// linkData is a minute's data events.
type linkData struct {
	Bucket   string   `json:"bucket,omitempty"`
	Count    int64    `json:"count"`
	Failed   int64    `json:"failed,omitempty"`
	BytesIn  float64  `json:"bytes_in,omitempty"`
	BytesOut float64  `json:"bytes_out,omitempty"`
	Objects  []string `json:"objects,omitempty"`
}

type linkGap struct {
	Question string `json:"question"`
	Reason   string `json:"reason"`
}

type linkEvidence struct {
	ID        string `json:"id"`
	Topic     string `json:"topic,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int64  `json:"line,omitempty"`
}

// newLink puts the record of a call together, but for its revision and when it is
// written.
func (o *Operator) newLink(host enrich.Host, c *call, status Status, found []candidate) *link {
	l := &link{
		Schema: SchemaLink, Timestamp: stamp(c.First), Host: idOnly{string(host)},
		Event: linkEvent{
			ID: linkID(c.ID, host), Kind: "event", Category: []string{"api", "process"}, Type: []string{"info"}, Provider: c.Service, Action: c.Name,
			Dataset: "aws.cloudtrail.link", Start: stamp(c.First), End: stamp(c.Last),
		},
		Cloud: machine{Provider: "aws", Account: only(c.Account), Region: c.Region, Instance: only(c.Instance)},
		Link:  linked{Status: status},
		AWS:   linkAWS{Instance: linkInstance{c.Instance, c.Proof}, Key: c.Key, Source: c.Source, Endpoint: c.Host},
	}
	for i := range found {
		k := &found[i]
		l.Link.Candidates = append(l.Link.Candidates, linkCandidate{k.score, k.reasons, k.process.json()})
		l.Evidence = append(l.Evidence, evidenceOf(k.process.Event, k.process.Position))
	}
	switch status {
	case Attributed:
		l.Process = l.Link.Candidates[0].Process
	case Unseen:
		l.Gaps = []linkGap{{"process", enrich.ProcessUnknown}}
	}
	if c.Rolled {
		l.AWS.Data = &linkData{Bucket: c.Bucket, Count: c.Count, Failed: c.Failed, BytesIn: c.In, BytesOut: c.Out}
		for _, one := range c.Objects {
			l.AWS.Data.Objects = append(l.AWS.Data.Objects, one.Key)
		}
	}
	l.AWS.Labels = o.cfg.Labels.add(l.AWS.Labels, LabelAccount, c.Account)
	l.AWS.Labels = o.cfg.Labels.add(l.AWS.Labels, LabelBucket, c.Bucket)
	l.AWS.Labels = o.cfg.Labels.add(l.AWS.Labels, LabelAddress, c.Source)
	for _, r := range c.Records {
		l.Evidence = append(l.Evidence, evidenceOf(r.ID, r.Position))
	}
	return l
}

func evidenceOf(id string, p enrich.Position) linkEvidence {
	e := linkEvidence{ID: id, File: p.File, Line: p.Line}
	if p.File == "" && p.Topic != "" {
		e.Topic, e.Partition, e.Offset = p.Topic, &p.Partition, &p.Offset
	}
	return e
}

// json is the process as events have it.
func (s *sighting) json() json.RawMessage {
	return enrich.AppendProcess(nil, &enrich.Process{
		EntityID: s.Entity, PID: s.PID, Executable: s.Executable, CommandLine: s.CommandLine, Start: s.Start, UserID: s.UserID, UserName: s.UserName,
	})
}

func (l *link) output() enrich.Output {
	return enrich.Output{
		Stream: enrich.CloudTrail, Key: []byte(l.Host.ID), Value: encode(l), ID: l.Event.ID, Kind: LinkKind, Schema: SchemaLink,
	}
}
