package feed

import (
	"fmt"
	"slices"
	"strings"
)

// Settings say how a feed's documents are written.
type Settings struct {
	// Preset is one of Presets; the empty one is lines.
	Preset string
	// Kind is what all indicators are, Any to go by the preset, a column or
	// their look.
	Kind Kind
	// Fields maps names of Fields to columns or paths, alternatives between bars
	// (csv, tsv, json, ndjson).
	Fields map[string]string
	// Header names the columns of a csv or tsv that has no header itself.
	Header []string
	// Rows is the way to the records of a json, step by step between dots.
	Rows string
}

// presetNames lists the presets: first the plain forms, then the feeds.
const presetNames = "lines|csv|tsv|json|ndjson|feodo|urlhaus|threatfox|sslbl_ja3|sslbl_certs|spamhaus_drop|firehol|ipsum|openphish|misp|stix|taxii|zeek|hosts|warninglist|tranco"

// Presets are the words for Settings.Preset, parted by bars.
func Presets() string { return presetNames }

// Defaults are what a preset says about a feed when its settings do not.
type Defaults struct {
	// URL is where the owner publishes it, empty for none or many.
	URL string
	// Role is block, suppress, downgrade or label; Confidence 0 to 100.
	Role       string
	Confidence int
}

// DefaultsOf returns the preset's.
func DefaultsOf(preset string) Defaults {
	d := Defaults{Role: "block", Confidence: 50}
	switch preset {
	case "feodo":
		d.URL, d.Confidence = "https://feodotracker.abuse.ch/downloads/ipblocklist.csv", 75
	case "urlhaus":
		d.URL, d.Confidence = "https://urlhaus.abuse.ch/downloads/csv_recent/", 75
	case "threatfox":
		d.URL = "https://threatfox.abuse.ch/export/csv/recent/"
	case "sslbl_ja3": // its owner stopped in 2021, and many honest programs share these
		d.URL, d.Confidence = "https://sslbl.abuse.ch/blacklist/ja3_fingerprints.csv", 15
	case "sslbl_certs":
		d.URL, d.Confidence = "https://sslbl.abuse.ch/blacklist/sslblacklist.csv", 75
	case "spamhaus_drop":
		d.URL = "https://www.spamhaus.org/drop/drop_v4.json"
	case "firehol":
		d.URL = "https://raw.githubusercontent.com/firehol/blocklist-ipsets/master/firehol_level1.netset"
	case "ipsum":
		d.URL = "https://raw.githubusercontent.com/stamparm/ipsum/master/ipsum.txt"
	case "openphish":
		d.URL = "https://openphish.com/feed.txt"
	case "warninglist": // many of these name what is only common
		d.Role = "label"
	case "tranco":
		d.URL, d.Role = "https://tranco-list.eu/top-1m.csv.zip", "downgrade"
	}
	return d
}

// NewDecoder returns a Decoder for one load. The error says which setting is wrong.
func NewDecoder(s Settings) (Decoder, error) {
	fields, unknown := mapped(s.Fields)
	own := slices.Contains([]string{"csv", "tsv", "json", "ndjson"}, s.Preset)
	switch {
	case unknown != "":
		return nil, fmt.Errorf("fields: %q is not one of %s", unknown, strings.ReplaceAll(fieldNames, "|", ", "))
	case own && len(fields[fValue]) == 0:
		return nil, fmt.Errorf("fields: must say which column or member is the value")
	case !own && (len(s.Fields) > 0 || len(s.Header) > 0 || s.Rows != ""):
		return nil, fmt.Errorf("preset: %s has its own fields: use csv, tsv, json or ndjson to name others", s.Preset)
	}
	m := members{kind: s.Kind, fields: fields, rows: steps(s.Rows)}
	switch s.Preset {
	case "csv", "tsv":
		return newCSV(s, fields), nil
	case "json":
		return &jsonValue{m}, nil
	case "ndjson":
		m.rows = nil
		return &ndjson{m}, nil
	}
	if d := s.special(); d != nil {
		return d, nil
	}
	if d := s.ready(); d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("preset: %q is not one of %s", s.Preset, strings.ReplaceAll(presetNames, "|", ", "))
}

func newCSV(s Settings, fields mapping) *csv {
	d := &csv{comma: ',', quotes: true, kind: s.Kind, fields: fields, header: s.Header}
	if s.Preset == "tsv" {
		d.comma, d.quotes = '\t', false
	}
	for f := range fields {
		if len(fields[f]) > 0 {
			d.need = append(d.need, field(f))
		}
	}
	return d
}

func steps(rows string) []string {
	if rows == "" {
		return nil
	}
	return strings.Split(rows, ".")
}

// special are the presets with a Decoder of their own.
func (s Settings) special() Decoder {
	switch s.Preset {
	case "", "lines":
		return &lines{kind: s.Kind}
	case "firehol":
		return &lines{kind: IP}
	case "ipsum":
		return &lines{kind: IP, confidence: byLists}
	case "openphish":
		return &lines{kind: URL}
	case "hosts":
		return hosts{}
	case "misp":
		return misp{}
	case "stix", "taxii":
		return newSTIX()
	case "warninglist":
		return warninglist{}
	}
	return nil
}

// ready are the presets that are one of the plain forms with its columns known.
func (s Settings) ready() Decoder {
	switch s.Preset {
	case "feodo":
		return bothForms(IP, nil, "*", []field{fValue, fPort, fFirst}, map[string]string{
			"value": "dst_ip|ip_address", "port": "dst_port|port", "first_seen": "first_seen_utc|first_seen", "last_seen": "last_online", "name": "malware",
		})
	case "urlhaus":
		return bothForms(URL, &lines{kind: URL}, "*.*", []field{fValue, fFirst, fID}, map[string]string{
			"value": "url", "first_seen": "dateadded|date_added", "last_seen": "last_online", "name": "threat", "tags": "tags",
			"reference": "urlhaus_link|urlhaus_reference", "id": "id|@key",
		})
	case "threatfox":
		return bothForms(Any, nil, "*.*", []field{fValue, fType, fConfidence}, map[string]string{
			"value": "ioc_value|ioc", "type": "ioc_type", "id": "ioc_id|id|@key", "name": "malware_printable", "confidence": "confidence_level",
			"first_seen": "first_seen_utc|first_seen", "last_seen": "last_seen_utc|last_seen", "reference": "reference", "tags": "tags", "compromised": "is_compromised",
		})
	case "sslbl_ja3":
		return commaForm(JA3, map[string]string{"value": "ja3_md5", "first_seen": "Firstseen", "last_seen": "Lastseen", "name": "Listingreason"})
	case "sslbl_certs":
		return commaForm(Cert, map[string]string{"value": "SHA1", "first_seen": "Listingdate", "name": "Listingreason"})
	case "spamhaus_drop":
		m, _ := mapped(map[string]string{"value": "cidr", "id": "sblid"})
		return &ndjson{members{kind: IP, fields: m, footer: spamhausFooter}}
	case "zeek":
		m, _ := mapped(map[string]string{"value": "indicator", "type": "indicator_type", "name": "meta.desc", "tags": "meta.source", "reference": "meta.url"})
		return &csv{comma: '\t', fields: m, need: []field{fValue, fType}}
	case "tranco":
		m, _ := mapped(map[string]string{"value": "domain", "reports": "rank"})
		return &csv{comma: ',', kind: Domain, fields: m, header: []string{"rank", "domain"}}
	}
	return nil
}

func bothForms(kind Kind, text Decoder, rows string, need []field, names map[string]string) Decoder {
	m, _ := mapped(names)
	return &byLook{
		json: &jsonValue{members{kind: kind, fields: m, rows: steps(rows)}},
		csv:  &csv{comma: ',', quotes: true, kind: kind, fields: m, need: need},
		text: text,
	}
}

func commaForm(kind Kind, names map[string]string) Decoder {
	m, _ := mapped(names)
	d := &csv{comma: ',', quotes: true, kind: kind, fields: m}
	for f := range m {
		if len(m[f]) > 0 {
			d.need = append(d.need, field(f))
		}
	}
	return d
}
