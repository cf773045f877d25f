package enricherconf

import (
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/glob"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Lens is a user's own mapping of a table or query. docs/lenses.md tells how it
// works.
type Lens struct {
	Name      string            `yaml:"name" doc:"Name of the lens; event.dataset is osquery.NAME."`
	Match     LensMatch         `yaml:"match"`
	Kind      string            `yaml:"kind" enum:"process|socket|dns|http|tls|file|login|inventory" doc:"What the rows are about. It decides which joins are asked."`
	Inventory bool              `yaml:"inventory" default:"false" doc:"The rows say what was so when the query ran, not what happened when."`
	Fields    map[string]string `yaml:"fields" doc:"Which column answers for which field, as in pid: process_id. docs/lenses.md lists the fields."`
	TimeUnit  string            `yaml:"time_unit" default:"seconds" enum:"seconds|milliseconds|microseconds|nanoseconds|filetime|rfc3339" doc:"How the column of the field time tells it; filetime is Windows' count since 1601."`
}

// LensMatch says which rows a lens is for: all that is given must fit.
type LensMatch struct {
	Query   string   `yaml:"query" doc:"Name of the query, with * for any characters and ? for one. Empty takes any."`
	Columns []string `yaml:"columns" doc:"Columns a row must have. A query alone is enough, and so are columns alone."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (l *Lens) Validate() (wrong []config.Problem) {
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	add(l.Name == "" || strings.ContainsFunc(l.Name, oddInName), "name", "must be letters, digits, _, - and . without spaces")
	add(event.NewLenses().Knows(l.Name), "name", "is a table that is known already: give the lens a name of its own")
	add(l.Match.Query == "" && len(l.Match.Columns) == 0, "match", "must say a query or columns: the lens would take every row")
	add(slices.Contains(l.Match.Columns, ""), "match.columns", "a column's name must not be empty")
	add(l.Kind == "", "kind", "must be given")
	add(len(l.Fields) == 0, "fields", "must map a field")
	for name, column := range l.Fields {
		_, known := event.FieldNamed(name)
		add(!known, "fields."+name, "no such field"+config.Nearest(name, event.FieldNames())+" (docs/lenses.md lists them)")
		add(known && column == "", "fields."+name, "must name a column")
	}
	field := needed(l.Kind)
	add(field != "" && len(l.Fields) > 0 && l.Fields[field] == "", "fields", "kind "+l.Kind+" needs the field "+field)
	return wrong
}

func oddInName(r rune) bool {
	return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// needed is the field without which an event of a kind joins nothing.
func needed(kind string) string {
	switch event.Kind(kind) {
	case event.Process:
		return event.PID.String()
	case event.DNS:
		return event.Domain.String()
	}
	return ""
}

// CustomLenses are the user's lenses, in the order of the file. The
// configuration must be valid.
func (c *Config) CustomLenses() []event.Custom {
	all := make([]event.Custom, len(c.Lenses))
	for i := range c.Lenses {
		all[i] = c.Lenses[i].custom()
	}
	return all
}

func (l *Lens) custom() event.Custom {
	c := event.Custom{
		Name: l.Name, Columns: l.Match.Columns, Kind: event.Kind(l.Kind), Inventory: l.Inventory, Fields: map[event.Field]string{},
	}
	if query := l.Match.Query; query != "" {
		c.Match = func(name string) bool { return glob.Match(query, []byte(name)) }
	}
	for name, column := range l.Fields {
		if f, ok := event.FieldNamed(name); ok {
			c.Fields[f] = column
		}
	}
	c.TimeUnit, _ = event.TimeUnitNamed(l.TimeUnit)
	return c
}
