package feed

import (
	"encoding/json"
	"fmt"
	"strings"
)

// warninglist reads a list of MISP's warninglists: names, addresses or hashes that
// are no sign of an attack by themselves. Lists of substrings and of regular
// expressions are left out, since they would clear more than they name.
type warninglist struct{}

func (warninglist) Finish(Sink) error { return nil }

func (warninglist) Read(t *Text, to Sink) error {
	if err := t.json(); err != nil {
		return err
	}
	var list struct {
		Name string
		Type string
		List []string
	}
	if err := json.NewDecoder(t).Decode(&list); err != nil {
		return fmt.Errorf("is not a MISP warninglist: %w", err)
	}
	if list.List == nil {
		return fmt.Errorf("is not a MISP warninglist: it has no member list")
	}
	for n, text := range list.List {
		row := Row{t.Name, n + 1, []byte(text)}
		i := Indicator{Value: []byte(strings.TrimPrefix(text, ".")), Detail: Detail{Name: list.Name}}
		switch list.Type {
		case "cidr":
			i.Kind = IP
		case "hostname":
			i.Kind = Domain
		case "string":
			i.Exact = true
		default:
			to.Leave(row, "list of type "+list.Type, false)
			continue
		}
		if bareWord(text) {
			to.Leave(row, OtherType, false)
			continue
		}
		to.Add(row, &i)
	}
	return nil
}

// bareWord tells text that is neither a name of several labels, an address, a URL
// nor one of the hashes that are matched.
func bareWord(text string) bool {
	if strings.ContainsAny(text, "./") || strings.Contains(text, "::") && !strings.HasSuffix(text, "3::") {
		return false
	}
	switch len(text) {
	case 32, 40, 64:
		return false
	}
	return true
}
