package cloud

import (
	"errors"
	"fmt"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// errDigest tells a side record that lacks what it is about.
var errDigest = errors.New("the instance, key or time is missing")

// CallOf is, as JSON, what a host's processes are asked about a record of its instance's
// credentials: the value of a side record of kind call. It is nil for what no process is
// asked about.
func CallOf(r *cloudtrail.Record, instance cloudtrail.Host) []byte {
	c := callOf(r, instance, enrich.Position{})
	if c == nil {
		return nil
	}
	return encodeMember(c)
}

// UseOf is, as JSON, what a record says of the whereabouts of an instance's key: the
// value of a side record of kind use. It is nil where it says nothing.
func UseOf(r *cloudtrail.Record, instance cloudtrail.Host) []byte {
	k := credentialOf(r, instance, enrich.Position{})
	if k == nil {
		return nil
	}
	return encodeMember(k)
}

func readCall(s *enrich.Side) (*call, error) {
	c := &call{}
	if err := decodeMember(s.Value, c); err != nil {
		return nil, fmt.Errorf("call: %w", err)
	}
	if c.ID == "" || c.First.IsZero() || len(c.Records) != 1 {
		return nil, errDigest
	}
	c.Records[0].Position = s.Position
	return c, nil
}

func readUse(s *enrich.Side) (*credential, error) {
	k := &credential{}
	if err := decodeMember(s.Value, k); err != nil {
		return nil, fmt.Errorf("use: %w", err)
	}
	if k.Key == "" || k.Instance == "" || k.First.IsZero() || len(k.Records) != 1 {
		return nil, errDigest
	}
	k.Records[0].Position = s.Position
	return k, nil
}
