package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// stix reads STIX bundles (2.0 and 2.1) and the envelopes of TAXII. Of an object
// that comes in several versions, in whatever document, the last modified counts;
// what its owner revoked is gone. The names of what an indicator indicates are
// taken from the relationships.
type stix struct {
	indicators map[string]*stixObject
	order      []string // of the indicators' ids
	names      map[string]string
	techniques map[string]string
	indicates  map[string][]string
	markings   map[string]string
}

func newSTIX() *stix {
	return &stix{
		indicators: map[string]*stixObject{}, names: map[string]string{}, techniques: map[string]string{},
		indicates: map[string][]string{}, markings: map[string]string{},
	}
}

type stixObject struct {
	Type        string   `json:"type"`
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Created     string   `json:"created"`
	Modified    string   `json:"modified"`
	Pattern     string   `json:"pattern"`
	PatternType string   `json:"pattern_type"`
	ValidFrom   string   `json:"valid_from"`
	ValidUntil  string   `json:"valid_until"`
	Revoked     bool     `json:"revoked"`
	Confidence  *float64 `json:"confidence"`
	Labels      []string `json:"labels"`
	Types       []string `json:"indicator_types"`
	Markings    []string `json:"object_marking_refs"`
	Kind        string   `json:"relationship_type"`
	Source      string   `json:"source_ref"`
	Target      string   `json:"target_ref"`
	Definition  struct {
		TLP string `json:"tlp"`
	} `json:"definition"`
	References []struct {
		Source string `json:"source_name"`
		ID     string `json:"external_id"`
		URL    string `json:"url"`
	} `json:"external_references"`

	row Row
}

// Read takes one bundle or envelope, object by object.
func (d *stix) Read(t *Text, to Sink) error {
	if err := t.json(); err != nil {
		return err
	}
	in := json.NewDecoder(t)
	open, err := in.Token()
	if err == nil && open != json.Delim('{') {
		err = errors.New("it is no object")
	}
	found := false
	for err == nil && in.More() {
		var key json.Token
		if key, err = in.Token(); err != nil {
			break
		}
		switch key {
		case "objects":
			found, err = true, d.objects(in, t, to)
		case "more", "type", "id":
			found = true
			fallthrough
		default:
			var passed json.RawMessage
			err = in.Decode(&passed)
		}
	}
	if err == nil {
		_, err = in.Token()
	}
	if err = endless(err); err != nil || !found {
		return fmt.Errorf("is no STIX bundle: %w", orElse(err, "it has no objects"))
	}
	return nil
}

func endless(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func orElse(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

func (d *stix) objects(in *json.Decoder, t *Text, to Sink) error {
	if open, err := in.Token(); err != nil || open != json.Delim('[') {
		return orElse(err, "objects is no list")
	}
	for n := 1; in.More(); n++ {
		var raw json.RawMessage
		if err := in.Decode(&raw); err != nil {
			return fmt.Errorf("object %d: %w", n, err)
		}
		var o stixObject
		row := Row{t.Name, n, raw}
		if err := json.Unmarshal(raw, &o); err != nil {
			to.Leave(row, "object whose members have other types than STIX says", true)
			continue
		}
		row.Text = nil
		o.row = row
		d.object(&o)
	}
	_, err := in.Token()
	return endless(err)
}

// object notes one object.
func (d *stix) object(o *stixObject) {
	switch o.Type {
	case "indicator":
		d.indicator(o)
	case "relationship":
		if o.Kind == "indicates" && !o.Revoked {
			d.indicates[o.Source] = append(d.indicates[o.Source], o.Target)
		}
	case "marking-definition":
		d.markings[o.ID] = tlp(o.Definition.TLP)
	case "attack-pattern":
		for _, r := range o.References {
			if strings.HasPrefix(r.Source, "mitre") {
				d.techniques[o.ID] = r.ID
			}
		}
	default:
		d.names[o.ID] = o.Name
	}
}

func (d *stix) indicator(o *stixObject) {
	old := d.indicators[o.ID]
	if old == nil {
		d.order = append(d.order, o.ID)
	}
	if old == nil || o.version() >= old.version() {
		d.indicators[o.ID] = o
	}
}

// version is the time of the last change. STIX writes all times in one form, in
// UTC, but for how many digits of a second there are.
func (o *stixObject) version() string {
	v := o.Modified
	if v == "" {
		v = o.Created
	}
	return strings.TrimSuffix(v, "Z")
}

// Finish makes indicators of what all documents say together.
func (d *stix) Finish(to Sink) error {
	for _, id := range d.order {
		o := d.indicators[id]
		o.row.Text = []byte(o.Pattern)
		switch {
		case o.Revoked:
			to.Leave(o.row, Deleted, false)
		case o.PatternType != "" && o.PatternType != "stix":
			to.Leave(o.row, Unsupported, false)
		default:
			d.pattern(o, to)
		}
	}
	return nil
}

// pattern makes indicators of one pattern.
func (d *stix) pattern(o *stixObject, to Sink) {
	c, err := parsePattern(o.Pattern)
	if err != nil {
		to.Leave(o.row, BadPattern, true)
		return
	}
	detail, ok := d.detail(o)
	if !ok {
		to.Leave(o.row, BadTime, true)
		return
	}
	unsupported := c.unsupported
	for _, a := range c.atoms {
		if !a.known {
			unsupported++
			continue
		}
		row := o.row
		row.Text = []byte(a.value)
		to.Add(row, &Indicator{Kind: a.kind, Value: row.Text, Port: a.port, Detail: detail})
	}
	for range unsupported {
		to.Leave(o.row, Unsupported, false)
	}
}

func (d *stix) detail(o *stixObject) (out Detail, ok bool) {
	out = Detail{Name: o.Name, ID: o.ID, Tags: strings.Join(append(o.Labels, o.Types...), ",")}
	var techniques []string
	for _, target := range d.indicates[o.ID] {
		if t := d.techniques[target]; t != "" {
			techniques = append(techniques, t)
		} else if n := d.names[target]; n != "" {
			out.Name = n
		}
	}
	out.Attack = strings.Join(techniques, ",")
	for _, m := range o.Markings {
		if word := d.markings[m]; word != "" {
			out.TLP = word
		} else if word := wellKnownTLP(m); word != "" {
			out.TLP = word
		}
	}
	for _, r := range o.References {
		if out.Reference == "" {
			out.Reference = r.URL
		}
	}
	if o.Confidence != nil {
		out.Confidence = uint8(min(max(*o.Confidence, 1), 100))
	}
	if out.ValidFrom, ok = seconds([]byte(o.ValidFrom)); ok {
		out.ValidUntil, ok = seconds([]byte(o.ValidUntil))
	}
	return out, ok
}

// wellKnownTLP reads the ids that STIX and FIRST gave the markings of TLP.
func wellKnownTLP(id string) string {
	switch strings.TrimPrefix(id, "marking-definition--") {
	case "613f2e26-407d-48c7-9eca-b8e91df99dc9":
		return "white"
	case "94868c89-83c2-464b-929b-a1a8aa3c8487":
		return "clear"
	case "34098fce-860f-48ae-8e50-ebd3cc5e41da", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb":
		return "green"
	case "f88d31f6-486f-44da-b317-01333bde0b82", "55d920b0-5e8b-4f79-9ee9-91f868d9b421", "939a9414-2ddd-4d32-a0cd-375ea402b003":
		return "amber"
	case "5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "e828b379-4e03-4974-9ac4-e53a884c97c1":
		return "red"
	}
	return ""
}
