package reputation

import (
	"fmt"
	"strconv"
	"strings"
)

// KeptLine says where the line that a match's provenance names lies in the last good
// copy that a Loader with this dir keeps of f. The error tells why it cannot be shown:
// no copy is kept, or it is of another generation than the match was made with.
func KeptLine(dir string, f Feed, generation, provenance string) (path string, line int64, err error) {
	f = f.Resolved()
	if dir == "" {
		return "", 0, fmt.Errorf("no copy of feed %s is kept: state.dir is not set", f.Name)
	}
	c := (&Loader{Dir: dir, ReadOnly: true}).copyOf(f)
	switch {
	case c.note.Generation == "":
		return "", 0, fmt.Errorf("no copy of feed %s is kept in state.dir", f.Name)
	case c.note.Generation != generation:
		return "", 0, fmt.Errorf("the copy of feed %s in state.dir is of another generation, %.12s", f.Name, c.note.Generation)
	}
	name, number, _ := cutLast(provenance, ':')
	line, err = strconv.ParseInt(number, 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("%q names no line of feed %s", provenance, f.Name)
	}
	for _, d := range c.note.Documents {
		if d.Name == name || len(c.note.Documents) == 1 {
			return c.folder.Path(c.note, d), line, nil
		}
	}
	return "", 0, fmt.Errorf("the copy of feed %s has no file %s", f.Name, name)
}

func cutLast(s string, at byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, at)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
