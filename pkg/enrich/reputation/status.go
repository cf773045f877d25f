package reputation

import (
	"context"
	"time"
)

// Status is what is known of a feed without asking its source.
type Status struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Role   string `json:"role"`
	// Entries and what follows are of the data that are in use, Generation empty
	// where there never were any.
	Entries    int    `json:"indicators"`
	Rows       int    `json:"rows"`
	Refused    int    `json:"refused"`
	Skipped    int    `json:"skipped"`
	Private    int    `json:"private"`
	Generation string `json:"generation"`
	// Loaded is when they came, Checked when the source last said the same, and
	// Next when an address is asked again.
	Loaded  time.Time `json:"loaded,omitzero"`
	Checked time.Time `json:"checked,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	// Failure is why the last try failed, empty where it did not.
	Failure string `json:"failure,omitempty"`
}

// Statuses tells what a Loader with this Dir kept of each feed. A feed of files
// of which it kept nothing is read; a URL is never asked.
func Statuses(ctx context.Context, dir string, feeds []Feed) []Status {
	list := make([]Status, len(feeds))
	for i, f := range feeds {
		f = f.Resolved()
		list[i] = Status{Name: f.Name, Source: f.where(), Role: f.Role}
		if !list[i].kept(dir, f) && f.URL == "" {
			list[i].read(ctx, f)
		}
	}
	return list
}

func (s *Status) kept(dir string, f Feed) bool {
	if dir == "" {
		return false
	}
	n := (&Loader{Dir: dir, ReadOnly: true}).copyOf(f).note
	s.Failure, s.Next = n.Failure, n.Next
	if n.Generation == "" {
		return false
	}
	s.Entries, s.Rows, s.Refused, s.Skipped, s.Private = n.Entries, n.Rows, n.Refused, n.Skipped, n.Private
	s.Generation, s.Loaded, s.Checked = n.Generation, n.Loaded, n.Checked
	return true
}

func (s *Status) read(ctx context.Context, f Feed) {
	_, report := Load(ctx, []Feed{f}, nil)
	r := report.Feeds[0]
	s.Entries, s.Rows, s.Refused, s.Skipped, s.Private = r.Entries, r.Rows, r.Refused, r.Skipped, r.Private
	s.Generation, s.Loaded, s.Checked, s.Failure = r.Generation, r.Loaded, r.Loaded, ""
	if r.Err != nil {
		s.Failure = r.Err.Error()
	}
}
