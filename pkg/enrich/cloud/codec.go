package cloud

import (
	"fmt"

	"github.com/stackjoin/stackjoin/internal/members"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Calls and uses of keys are written and read for each record of CloudTrail, into side
// records and the State, as the JSON that their tags say. What is written seldom goes
// through encoding/json.

// member is what has its JSON written and read here.
type member interface {
	write(w *members.Writer)
	read(r *members.Reader, name []byte) error
}

// encodeMember writes an object.
func encodeMember(m member) []byte {
	w := &members.Writer{B: make([]byte, 0, 512)}
	w.Open('{')
	m.write(w)
	w.Close('}')
	return w.B
}

func decodeMember(text []byte, m member) error {
	if err := members.Read(text, m.read); err != nil {
		return fmt.Errorf("a member: %w", err)
	}
	return nil
}

func (c *call) write(w *members.Writer) {
	w.Text("id", c.ID)
	w.Text("instance", c.Instance)
	w.Text("proof", c.Proof)
	w.Text("service", c.Service)
	w.Text("name", c.Name)
	w.Text("account", c.Account)
	w.Text("region", c.Region)
	w.Moment("first", c.First)
	w.Moment("last", c.Last)
	w.Moment("session", c.Session)
	w.Text("host", c.Host)
	w.Text("agent", c.Agent)
	w.Text("key", c.Key)
	w.Text("source", c.Source)
	w.Texts("parameters", c.Parameters...)
	c.writeObjects(w)
	writeRecords(w, c.Records)
	w.Text("told", c.Told)
	w.Count("revision", c.Revision)
	w.Text("counted", string(c.Counted))
}

// writeObjects writes what is of data events.
func (c *call) writeObjects(w *members.Writer) {
	w.Mark("rolled", c.Rolled)
	w.Text("bucket", c.Bucket)
	w.Count("count", c.Count)
	w.Count("failed", c.Failed)
	w.Amount("in", c.In)
	w.Amount("out", c.Out)
	w.List("objects", len(c.Objects), func(i int) {
		w.Text("key", c.Objects[i].Key)
		w.Moment("at", c.Objects[i].At)
		w.Text("id", c.Objects[i].ID)
	})
}

func (c *call) read(r *members.Reader, name []byte) error {
	switch string(name) {
	case "id":
		return r.Text(&c.ID)
	case "instance":
		return r.Text(&c.Instance)
	case "proof":
		return r.Text(&c.Proof)
	case "service":
		return r.Text(&c.Service)
	case "name":
		return r.Text(&c.Name)
	case "account":
		return r.Text(&c.Account)
	case "region":
		return r.Text(&c.Region)
	case "first":
		return r.Moment(&c.First)
	case "last":
		return r.Moment(&c.Last)
	case "session":
		return r.Moment(&c.Session)
	case "host":
		return r.Text(&c.Host)
	case "agent":
		return r.Text(&c.Agent)
	case "key":
		return r.Text(&c.Key)
	case "source":
		return r.Text(&c.Source)
	case "parameters":
		return r.Texts(&c.Parameters)
	case "records":
		return readRecords(r, &c.Records)
	case "told":
		return r.Text(&c.Told)
	case "revision":
		return r.Number(&c.Revision)
	case "counted":
		return r.Text((*string)(&c.Counted))
	}
	return c.readObjects(r, name)
}

// readObjects reads what is of data events.
func (c *call) readObjects(r *members.Reader, name []byte) error {
	switch string(name) {
	case "rolled":
		return r.Truth(&c.Rolled)
	case "bucket":
		return r.Text(&c.Bucket)
	case "count":
		return r.Number(&c.Count)
	case "failed":
		return r.Number(&c.Failed)
	case "in":
		return r.Amount(&c.In)
	case "out":
		return r.Amount(&c.Out)
	case "objects":
		return r.List(func() error {
			c.Objects = append(c.Objects, object{})
			o := &c.Objects[len(c.Objects)-1]
			return r.Object(func(name []byte) error { return o.read(r, name) })
		})
	}
	return r.Skip()
}

func (o *object) read(r *members.Reader, name []byte) error {
	switch string(name) {
	case "key":
		return r.Text(&o.Key)
	case "at":
		return r.Moment(&o.At)
	case "id":
		return r.Text(&o.ID)
	}
	return r.Skip()
}

func (k *credential) write(w *members.Writer) {
	w.Text("key", k.Key)
	w.Text("address", k.Address)
	w.Text("instance", k.Instance)
	w.Text("account", k.Account)
	w.Text("region", k.Region)
	w.Moment("first", k.First)
	w.Moment("last", k.Last)
	w.Count("count", k.Count)
	w.Texts("calls", k.Calls...)
	w.Texts("buckets", k.Buckets...)
	w.Text("endpoint", k.Endpoint)
	w.Text("endpoint_owner", k.EndpointOwner)
	w.Mark("console", k.Console)
	w.Mark("agent", k.Agent)
	writeRecords(w, k.Records)
	w.Text("told", k.Told)
	w.Moment("told_at", k.ToldAt)
	w.Count("told_count", k.ToldCount)
	w.Count("revision", k.Revision)
}

func (k *credential) read(r *members.Reader, name []byte) error {
	switch string(name) {
	case "key":
		return r.Text(&k.Key)
	case "address":
		return r.Text(&k.Address)
	case "instance":
		return r.Text(&k.Instance)
	case "account":
		return r.Text(&k.Account)
	case "region":
		return r.Text(&k.Region)
	case "first":
		return r.Moment(&k.First)
	case "last":
		return r.Moment(&k.Last)
	case "count":
		return r.Number(&k.Count)
	case "calls":
		return r.Texts(&k.Calls)
	case "buckets":
		return r.Texts(&k.Buckets)
	case "endpoint":
		return r.Text(&k.Endpoint)
	case "endpoint_owner":
		return r.Text(&k.EndpointOwner)
	case "console":
		return r.Truth(&k.Console)
	case "agent":
		return r.Truth(&k.Agent)
	case "records":
		return readRecords(r, &k.Records)
	case "told":
		return r.Text(&k.Told)
	case "told_at":
		return r.Moment(&k.ToldAt)
	case "told_count":
		return r.Number(&k.ToldCount)
	case "revision":
		return r.Number(&k.Revision)
	}
	return r.Skip()
}

func writeRecords(w *members.Writer, all []recordAt) {
	w.List("records", len(all), func(i int) {
		w.Text("id", all[i].ID)
		w.Moment("at", all[i].At)
		p := &all[i].Position
		w.Object("position", func() { // as encoding/json names what has no tags
			w.Text("Topic", p.Topic)
			w.Count("Partition", int64(p.Partition))
			w.Count("Offset", p.Offset)
			w.Text("File", p.File)
			w.Count("Line", p.Line)
		})
	})
}

func readRecords(r *members.Reader, into *[]recordAt) error {
	return r.List(func() error {
		*into = append(*into, recordAt{})
		at := &(*into)[len(*into)-1]
		return r.Object(func(name []byte) error { return at.read(r, name) })
	})
}

func (a *recordAt) read(r *members.Reader, name []byte) error {
	switch string(name) {
	case "id":
		return r.Text(&a.ID)
	case "at":
		return r.Moment(&a.At)
	case "position":
		return r.Object(func(name []byte) error { return readPosition(r, &a.Position, name) })
	}
	return r.Skip()
}

func readPosition(r *members.Reader, p *enrich.Position, name []byte) error {
	switch string(name) {
	case "Topic":
		return r.Text(&p.Topic)
	case "Partition":
		return r.Small(&p.Partition)
	case "Offset":
		return r.Number(&p.Offset)
	case "File":
		return r.Text(&p.File)
	case "Line":
		return r.Number(&p.Line)
	}
	return r.Skip()
}
