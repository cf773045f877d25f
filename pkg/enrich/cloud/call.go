package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Bounds of what is kept of one call.
const (
	maxParameters = 16
	maxObjects    = 20
	maxEvidence   = 20
	minParameter  = 4 // bytes; shorter texts stand in any command line
	maxParameter  = 256
)

// call is an API call that an instance's credentials made, or one minute's S3 data
// events on one bucket with one key. It is kept as JSON in the State.
type call struct {
	ID       string    `json:"id"`
	Instance string    `json:"instance"`
	Proof    string    `json:"proof"`
	Service  string    `json:"service"`
	Name     string    `json:"name"`
	Account  string    `json:"account,omitempty"`
	Region   string    `json:"region,omitempty"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	// Session is when the credentials were made, zero where that is not told.
	Session time.Time `json:"session,omitzero"`
	Host    string    `json:"host,omitempty"` // the name that the caller asked for
	Agent   string    `json:"agent,omitempty"`
	Key     string    `json:"key,omitempty"`
	Source  string    `json:"source,omitempty"`
	// Parameters are texts of the request that a command line may hold.
	Parameters []string `json:"parameters,omitempty"`

	// Of data events: the bucket, how many, and the objects by the first that name
	// them.
	Rolled  bool     `json:"rolled,omitempty"`
	Bucket  string   `json:"bucket,omitempty"`
	Count   int64    `json:"count,omitempty"`
	Failed  int64    `json:"failed,omitempty"`
	In      float64  `json:"in,omitempty"`
	Out     float64  `json:"out,omitempty"`
	Objects []object `json:"objects,omitempty"`
	// Records are where it was read, and of data events the first of them.
	Records []recordAt `json:"records"`

	// Told is what was told of it last, Revision the next one's number, and Counted what
	// of it counts for its key.
	Told     string `json:"told,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Counted  Status `json:"counted,omitempty"`
	dirty    bool
}

type object struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
	ID  string    `json:"id"` // the record
}

type recordAt struct {
	ID       string          `json:"id"`
	At       time.Time       `json:"at"`
	Position enrich.Position `json:"position"`
}

// id names a link: hash(source record, host).
func linkID(record string, host enrich.Host) string {
	sum := sha256.Sum256([]byte("link\x00" + record + "\x00" + string(host)))
	return hex.EncodeToString(sum[:16])
}

// callOf is what of a record its instance's processes are asked about; nil for calls
// that are no process's doing: those of AWS itself, and the SSM agent's own all day
// long.
func callOf(r *cloudtrail.Record, h cloudtrail.Host, at enrich.Position) *call {
	if h.ID == "" || h.Proof == cloudtrail.ProofSessionName || r.Time.IsZero() || r.Identity.Service() != "" || r.OfAgent() {
		return nil
	}
	c := &call{
		ID: r.ID(), Instance: h.ID, Proof: string(h.Proof), Service: r.Service, Name: r.Name, Account: r.Account(), Region: r.Region,
		First: r.Time, Last: r.Time, Session: r.Identity.SessionCreated, Host: strings.ToLower(r.TLS.Host), Agent: agentFamily(r.UserAgent),
		Key: r.Identity.AccessKeyID, Source: r.Source.Text, Records: []recordAt{{r.ID(), r.Time, at}},
	}
	if r.Service == "s3.amazonaws.com" && r.Category == "Data" {
		c.roll(r)
	}
	c.Parameters = parameters(r.Request)
	return c
}

// roll makes the call one of its minute's, by key, bucket and operation.
func (c *call) roll(r *cloudtrail.Record) {
	bucket, key := s3Object(r.Request)
	minute := r.Time.Truncate(time.Minute)
	c.Rolled, c.Bucket, c.Count, c.In, c.Out = true, bucket, 1, r.Additional.BytesIn, r.Additional.BytesOut
	c.ID = strings.Join([]string{"s3", c.Account, c.Key, bucket, r.Name, minute.Format(time.RFC3339)}, "/")
	if r.Failed() {
		c.Failed = 1
	}
	if key != "" {
		c.Objects = []object{{key, r.Time, r.ID()}}
	}
}

// add takes in another data event of the same minute. What it comes to does not depend
// on the order.
func (c *call) add(o *call) {
	first := c.Records[0]
	c.Count, c.Failed, c.In, c.Out = c.Count+o.Count, c.Failed+o.Failed, c.In+o.In, c.Out+o.Out
	if o.First.Before(c.First) || o.First.Equal(c.First) && o.Records[0].ID < first.ID {
		c.Host, c.Agent, c.Source, c.Session = o.Host, o.Agent, o.Source, o.Session
	}
	if o.First.Before(c.First) {
		c.First = o.First
	}
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
	for _, p := range o.Parameters {
		if i, found := slices.BinarySearch(c.Parameters, p); !found {
			c.Parameters = slices.Insert(c.Parameters, i, p)
		}
	}
	c.Parameters = c.Parameters[:min(len(c.Parameters), maxParameters)]
	c.addObjects(o.Objects)
	c.Records = append(c.Records, o.Records...)
	slices.SortFunc(c.Records, func(a, b recordAt) int { return byTime(a.At, b.At, a.ID, b.ID) })
	c.Records = c.Records[:min(len(c.Records), maxEvidence)]
}

func (c *call) addObjects(more []object) {
	for _, o := range more {
		i := slices.IndexFunc(c.Objects, func(have object) bool { return have.Key == o.Key })
		switch {
		case i < 0:
			c.Objects = append(c.Objects, o)
		case byTime(o.At, c.Objects[i].At, o.ID, c.Objects[i].ID) < 0:
			c.Objects[i] = o
		}
	}
	slices.SortFunc(c.Objects, func(a, b object) int { return byTime(a.At, b.At, a.ID, b.ID) })
	c.Objects = c.Objects[:min(len(c.Objects), maxObjects)]
}

func byTime(a, b time.Time, aID, bID string) int {
	if c := a.Compare(b); c != 0 {
		return c
	}
	return strings.Compare(aID, bID)
}

// s3Object is the bucket and key that a request names.
func s3Object(request []byte) (bucket, key string) {
	eachText(request, func(name, text string) {
		switch name {
		case "bucketName":
			bucket = text
		case "key":
			key = text
		}
	})
	return bucket, key
}

// parameters are the texts of a request that name something of the caller's: what a
// person would write on a command line.
func parameters(request []byte) (all []string) {
	eachText(request, func(name, text string) {
		if !names(name) || len(text) < minParameter || len(text) > maxParameter || strings.HasPrefix(text, "HIDDEN_DUE_TO") {
			return
		}
		if i, found := slices.BinarySearch(all, text); !found {
			all = slices.Insert(all, i, text)
		}
	})
	return all[:min(len(all), maxParameters)]
}

// names tells members whose texts name things; others say how or from when.
func names(member string) bool {
	switch member {
	case "key", "prefix", "resource", "functionName", "Host", "target":
		return member != "Host"
	}
	for _, end := range []string{"Name", "Id", "ID", "Arn", "ARN", "Identifier", "Ids"} {
		if strings.HasSuffix(member, end) {
			return true
		}
	}
	return false
}

// maxNested is how deep a request's lists and objects are looked into.
const maxNested = 8

// eachText calls visit with each text of an object and the name of the member that it
// is, or is in a list of.
func eachText(text []byte, visit func(name, text string)) {
	if len(text) > 0 && text[0] == '{' {
		walk(text, "", 0, visit)
	}
}

func walk(text []byte, name string, depth int, visit func(name, text string)) {
	if depth > maxNested || len(text) == 0 {
		return
	}
	c := event.NewCursor(text)
	one := func(name string) error {
		v, err := c.Value()
		switch {
		case err != nil:
		case v.String:
			visit(name, v.Text())
		case v.Raw[0] == '{' || v.Raw[0] == '[':
			walk(v.Raw, name, depth+1, visit)
		}
		return err
	}
	if text[0] == '{' {
		_ = c.Object(func(member []byte) error { return one(string(member)) })
		return
	}
	_ = c.Array(func() error { return one(name) })
}
