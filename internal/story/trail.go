package story

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// Trail are the story's records of CloudTrail's, in its order, made of those in the
// file at path.
func (s *Story) Trail(t testing.TB, path string) (all []*cloudtrail.Record) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.CloudTrail {
		r, err := cloudtrail.Parse(s.recordOf(t, &s.CloudTrail[i], text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// recordOf is a record's text.
func (s *Story) recordOf(t testing.TB, c *Call, file []byte) []byte {
	t.Helper()
	var known struct{ Records []map[string]any }
	if err := json.Unmarshal(file, &known); err != nil {
		t.Fatal(err)
	}
	for _, record := range known.Records {
		if record["eventID"] != c.Is {
			continue
		}
		if c.ID != "" {
			record["eventID"] = c.ID
		}
		if c.At != nil {
			record["eventTime"] = s.Start.Add(time.Duration(*c.At) * time.Second).Format(time.RFC3339)
		}
		for path, value := range c.Set {
			s.set(t, record, strings.Split(path, "."), value)
		}
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	t.Fatalf("there is no record %q", c.Is)
	return nil
}

// set changes a member, and makes the objects around it where there are none.
func (s *Story) set(t testing.TB, in any, path []string, value any) {
	t.Helper()
	switch in := in.(type) {
	case map[string]any:
		switch {
		case len(path) > 1:
			if _, ok := in[path[0]]; !ok {
				in[path[0]] = map[string]any{}
			}
			s.set(t, in[path[0]], path[1:], value)
		case value == nil:
			delete(in, path[0])
		default:
			if text, ok := value.(string); ok {
				if at, ok := s.moment(text); ok {
					value = at.Format(time.RFC3339)
				}
			}
			in[path[0]] = value
		}
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(in) {
			t.Fatalf("no element %q", path[0])
		}
		if len(path) == 1 {
			in[i] = value
			return
		}
		s.set(t, in[i], path[1:], value)
	default:
		t.Fatalf("%q is in no object", strings.Join(path, "."))
	}
}
