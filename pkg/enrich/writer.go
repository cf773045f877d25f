package enrich

import "github.com/stackjoin/stackjoin/internal/members"

// writer writes the members of an enrichment.
type writer struct {
	members.Writer
	// pieces are what was written before; nil remembers nothing.
	pieces *pieces
}

func (w *writer) object(name string) { w.Key(name); w.Open('{') }
func (w *writer) array(name string)  { w.Key(name); w.Open('[') }

func firstText(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// baseName is the last element of a path of either family of systems.
func baseName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' || path[i] == '\\' {
			return path[i+1:]
		}
	}
	return path
}
