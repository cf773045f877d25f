package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// misp reads a MISP feed: events, each in a document of its own, and the manifest
// that lists them, from which nothing is taken. Only attributes that are meant for
// detection and not deleted are. The format is MISP's core format.
type misp struct{}

// text reads a JSON string or number as text.
type text string

func (s *text) UnmarshalJSON(raw []byte) error {
	var plain string
	if err := json.Unmarshal(raw, &plain); err != nil {
		plain = strings.Trim(string(raw), `"`)
	}
	if plain != "null" {
		*s = text(plain)
	}
	return nil
}

type mispTag struct {
	Name string `json:"name"`
}

type mispAttribute struct {
	UUID      string    `json:"uuid"`
	Type      string    `json:"type"`
	Value     text      `json:"value"`
	ToIDs     any       `json:"to_ids"` // true, or "1" in old exports
	Deleted   any       `json:"deleted"`
	Comment   string    `json:"comment"`
	FirstSeen text      `json:"first_seen"`
	LastSeen  text      `json:"last_seen"`
	Tags      []mispTag `json:"Tag"`
}

type mispObject struct {
	Name       string          `json:"name"`
	Deleted    any             `json:"deleted"`
	Attributes []mispAttribute `json:"Attribute"`
}

type mispEvent struct {
	UUID       string          `json:"uuid"`
	Info       string          `json:"info"`
	Tags       []mispTag       `json:"Tag"`
	Attributes []mispAttribute `json:"Attribute"`
	Objects    []mispObject    `json:"Object"`
}

func (misp) Finish(Sink) error { return nil }

func (misp) Read(t *Text, to Sink) error {
	if path.Base(t.Name) == "hashes.csv" { // MISP's own index of the values
		return nil
	}
	if err := t.json(); err != nil {
		return err
	}
	if path.Base(t.Name) == "manifest.json" {
		return readManifest(t)
	}
	var doc struct{ Event *mispEvent }
	if err := json.NewDecoder(t).Decode(&doc); err != nil {
		return fmt.Errorf("is not a MISP event: %w", err)
	}
	if doc.Event == nil {
		return errors.New("is not a MISP event: it has no member Event")
	}
	r := mispReader{event: doc.Event, to: to, row: Row{Document: t.Name}}
	for i := range doc.Event.Attributes {
		r.attribute(&doc.Event.Attributes[i], false)
	}
	for _, o := range doc.Event.Objects {
		for i := range o.Attributes {
			r.attribute(&o.Attributes[i], yesJSON(o.Deleted))
		}
	}
	return nil
}

func readManifest(t *Text) error {
	var events map[string]json.RawMessage
	if err := json.NewDecoder(t).Decode(&events); err != nil {
		return fmt.Errorf("is not a MISP manifest: %w", err)
	}
	return nil
}

type mispReader struct {
	event *mispEvent
	to    Sink
	row   Row
}

// attribute takes an attribute; one that is made of two parts may give two
// indicators.
func (r *mispReader) attribute(a *mispAttribute, deleted bool) {
	r.row.Line++
	r.row.Text = []byte(a.Value)
	switch {
	case deleted || yesJSON(a.Deleted):
		r.to.Leave(r.row, Deleted, false)
		return
	case !yesJSON(a.ToIDs):
		r.to.Leave(r.row, NotToIDs, false)
		return
	}
	parts := a.parts()
	if len(parts) == 0 {
		halved := strings.Contains(a.Type, "|") && !strings.Contains(string(a.Value), "|")
		r.to.Leave(r.row, map[bool]string{false: OtherType, true: OnePart}[halved], halved)
		return
	}
	detail, ok := r.detail(a)
	if !ok {
		r.to.Leave(r.row, BadTime, true)
		return
	}
	for _, p := range parts {
		p.Detail, p.Value = detail, refanged(p.Kind, p.Value)
		if p.Kind == IP && p.Port == 0 {
			p.addPort()
		}
		r.to.Add(r.row, &p)
	}
}

func (r *mispReader) detail(a *mispAttribute) (d Detail, ok bool) {
	d = Detail{Name: r.event.Info, ID: a.UUID, Event: r.event.UUID}
	var words, techniques []string
	for _, tag := range append(append([]mispTag{}, r.event.Tags...), a.Tags...) {
		switch {
		case strings.HasPrefix(tag.Name, "tlp:"):
			d.TLP = tlp(tag.Name)
		case strings.Contains(tag.Name, "mitre-attack-pattern="):
			techniques = append(techniques, techniqueOf(tag.Name))
		default:
			words = append(words, strings.ReplaceAll(tag.Name, ",", " "))
		}
	}
	d.Tags, d.Attack = strings.Join(words, ","), strings.Join(techniques, ",")
	if d.FirstSeen, ok = seconds([]byte(a.FirstSeen)); ok {
		d.LastSeen, ok = seconds([]byte(a.LastSeen))
	}
	return d, ok
}

// techniqueOf reads the id at the end of a galaxy's tag, such as
// misp-galaxy:mitre-attack-pattern="Phishing - T1566".
func techniqueOf(tag string) string {
	tag = strings.TrimSuffix(tag, `"`)
	return tag[strings.LastIndexAny(tag, ` "`)+1:]
}

// parts are the indicators of an attribute; none for types that are not matched.
func (a *mispAttribute) parts() []Indicator {
	a.Value = text(strings.TrimSpace(string(a.Value)))
	first, second, two := strings.Cut(string(a.Value), "|")
	one := func(k Kind, value string) Indicator { return Indicator{Kind: k, Value: []byte(value)} }
	kind, sub, composite := strings.Cut(a.Type, "|")
	switch {
	case composite && !two:
		return nil
	case a.Type == "domain|ip":
		return []Indicator{one(Domain, first), one(IP, second)}
	case a.Type == "ip-dst|port" || a.Type == "ip-src|port":
		return withPort(IP, first, second)
	case a.Type == "hostname|port":
		return withPort(Domain, first, second)
	case kind == "filename" && composite:
		return ifKnown(sub, second)
	case composite:
		return nil
	case a.Type == "filename":
		return []Indicator{one(Path, string(a.Value))}
	}
	return ifKnown(a.Type, string(a.Value))
}

func withPort(k Kind, host, port string) []Indicator {
	n, ok := parsePort([]byte(port))
	if !ok {
		return nil
	}
	return []Indicator{{Kind: k, Value: []byte(host), Port: n}}
}

func ifKnown(typ, value string) []Indicator {
	k, ok := kindOfType(typ)
	if !ok {
		return nil
	}
	return []Indicator{{Kind: k, Value: []byte(value)}}
}

// yesJSON reads a flag that is written as true, 1 or "1".
func yesJSON(value any) bool {
	switch v := value.(type) {
	case bool:
		return v
	case float64:
		return v == 1
	case string:
		return v == "1" || strings.EqualFold(v, "true")
	}
	return false
}

// refanged undoes what reporters write so that nobody clicks. An attribute's type
// says what it must be, so nothing is guessed.
func refanged(k Kind, value []byte) []byte {
	if k != URL && k != Domain && k != IP {
		return value
	}
	plain := strings.NewReplacer("[.]", ".", "(.)", ".", "[:]", ":").Replace(string(value))
	if k == URL && len(plain) > 4 && strings.EqualFold(plain[:4], "hxxp") {
		plain = "http" + plain[4:]
	}
	return []byte(plain)
}
