package reputation

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// Feed says where a list of indicators is read from and what its word is worth.
type Feed struct {
	Name   string `yaml:"name" doc:"The feed's name in matches, reports and metrics. Empty means the preset's."`
	Path   string `yaml:"path" doc:"The file to read, plain, gzip or zip; or a folder, or a pattern such as /feeds/*.txt. It is read again when it changes."`
	URL    string `yaml:"url" doc:"Where to fetch the feed (http or https), in place of path; state.dir keeps what was fetched. Presets of one list know their owner's address."`
	Preset string `yaml:"preset" default:"lines" enum:"lines|csv|tsv|json|ndjson|feodo|urlhaus|threatfox|sslbl_ja3|sslbl_certs|spamhaus_drop|firehol|ipsum|openphish|misp|stix|taxii|zeek|hosts|warninglist|tranco" doc:"How the feed is written (docs/feeds.md): one of five plain forms, or a feed or format that is known by name."`
	Type   string `yaml:"type" default:"auto" enum:"auto|ip|domain|url|hash|ja3|ja3s|ja4|jarm|cert_sha1|path|value" doc:"What the indicators are; rows of another type are refused. auto goes by the preset, else takes each row for what it looks like."`

	Fields  map[string]string `yaml:"fields" doc:"csv, tsv, json, ndjson: which column or member says what. Keys: value (needed), type, port, name, confidence, tags, first_seen, last_seen, valid_from, valid_until, reference, id, reports, tlp, attack, compromised."`
	Header  []string          `yaml:"header" doc:"csv, tsv: the names of the columns where the file has no header line."`
	Rows    string            `yaml:"rows" doc:"json: the way to the records, such as data.* or response.items.*; empty where the document is the list."`
	Columns []string          `yaml:"columns" doc:"type value: osquery's columns whose values are compared, such as identifier."`

	Role       string   `yaml:"role" default:"auto" enum:"auto|block|suppress|downgrade|label" doc:"What a hit means. block: a match. The others act on matches of block feeds: suppress clears them, downgrade lowers their confidence, label adds words. auto goes by the preset."`
	Match      string   `yaml:"match" default:"subdomains" enum:"subdomains|exact" doc:"Whether a listed name stands for the names below it."`
	DeriveHost bool     `yaml:"derive_host" default:"false" doc:"Whether the hosts of listed URLs are indicators too, with a confidence of at most 25: many bad URLs are on good hosts."`
	Confidence int      `yaml:"confidence" default:"0" doc:"How far the feed is trusted, 1 to 100; 0 goes by the preset, 50 for most. What a feed says of an indicator goes first."`
	Tags       []string `yaml:"tags" doc:"Words added to every match."`
	TLP        string   `yaml:"tlp" default:"clear" enum:"white|clear|green|amber|red" doc:"The traffic light protocol marking of the feed, where it does not mark its indicators."`
	Lifetime   Lifetime `yaml:"lifetime" default:"0d" doc:"How long an indicator with a date counts after it was last (else first) seen; 0d is for as long as it is listed. Rows without a date count while they are listed."`
	Complete   bool     `yaml:"complete" default:"true" doc:"url: whether the list is whole, so that what it no longer names is gone. false keeps what earlier fetches brought, each for lifetime."`

	Every      Lifetime `yaml:"every" default:"1h" doc:"url: how often to ask for news, give or take a tenth."`
	Timeout    Lifetime `yaml:"timeout" default:"1m" doc:"url: how long one answer may take."`
	Collection string   `yaml:"collection" doc:"taxii: the id, alias or title of the collection, where url is not the collection's own."`

	AllowPrivate bool `yaml:"allow_private" default:"false" doc:"Load private and reserved addresses too, for a list of one's own. Lists that only suppress, downgrade or label always do."`
	MaxRefused   int  `yaml:"max_refused" default:"5" doc:"Percentage of rows that may be refused before the whole file is."`
	MaxShrink    int  `yaml:"max_shrink" default:"50" doc:"Percentage of its indicators that a feed may lose in one reload before the new file is refused; 100 allows any loss."`
	MaxMiB       int  `yaml:"max_mib" default:"512" doc:"The largest feed that is read, in MiB of text, unpacked."`
}

// NewFeed returns a Feed with the defaults of its tags.
func NewFeed(name, path string) Feed {
	return Feed{
		Name: name, Path: path, Preset: "lines", Type: "auto", Role: "auto", Match: "subdomains", TLP: "clear", Complete: true,
		Every: Lifetime(time.Hour), Timeout: Lifetime(time.Minute), MaxRefused: 5, MaxShrink: 50, MaxMiB: 512,
	}
}

// Resolved fills in what the preset says and the settings do not: name, URL, role
// and confidence.
func (f Feed) Resolved() Feed {
	if f.Preset == "" {
		f.Preset = "lines"
	}
	preset := feed.DefaultsOf(f.Preset)
	if f.Name == "" && oneOf(f.Preset, feed.Presets()) && !oneOf(f.Preset, "lines|csv|tsv|json|ndjson") {
		f.Name = f.Preset
	}
	if f.Path == "" && f.URL == "" {
		f.URL = preset.URL
	}
	if f.Role == "" || f.Role == "auto" {
		f.Role = preset.Role
	}
	f.Confidence = cmp.Or(f.Confidence, preset.Confidence)
	f.MaxMiB = cmp.Or(f.MaxMiB, 512)
	return f
}

// Mistake is one thing wrong with a feed's settings.
type Mistake struct{ Key, Message string }

// Check tells everything that is wrong with the feed's settings, and is empty
// for a usable Feed. It does not look at the file.
func (f Feed) Check() []Mistake {
	f = f.Resolved()
	var wrong []Mistake
	add := func(bad bool, key, format string, args ...any) {
		if bad {
			wrong = append(wrong, Mistake{key, fmt.Sprintf(format, args...)})
		}
	}
	word := func(key, word, words string) {
		add(!oneOf(word, words), key, "%q is not one of %s", word, strings.ReplaceAll(strings.TrimPrefix(words, "|"), "|", ", "))
	}
	add(f.Name == "", "name", "must not be empty")
	add(f.Path == "" && f.URL == "", "path", "name a file, or an url: preset %s has no address of its own", f.Preset)
	add(f.Path != "" && f.URL != "", "url", "give path or url, not both")
	add(f.URL != "" && !usableURL(f.URL), "url", "is not an address that begins with http:// or https://")
	word("preset", f.Preset, feed.Presets())
	word("type", f.Type, "|"+feed.Kinds())
	word("role", f.Role, "block|suppress|downgrade|label")
	word("match", f.Match, "|subdomains|exact")
	word("tlp", f.TLP, "|white|clear|green|amber|red")
	f.checkForm(add)
	f.checkNumbers(add)
	return wrong
}

func (f Feed) checkForm(add func(bad bool, key, format string, args ...any)) {
	add(f.Type == "value" && len(f.Columns) == 0, "columns", "type value needs the names of osquery's columns")
	add(f.Type != "value" && len(f.Columns) > 0, "columns", "is for type value only")
	add(f.Preset == "taxii" && f.Path != "", "path", "preset taxii is for an url; a bundle in a file has preset stix")
	add(f.Collection != "" && f.Preset != "taxii", "collection", "is for preset taxii only")
	if _, err := f.decoder(); err != nil && oneOf(f.Preset, feed.Presets()) {
		key, message, _ := strings.Cut(err.Error(), ": ")
		add(true, key, "%s", message)
	}
}

func (f Feed) checkNumbers(add func(bad bool, key, format string, args ...any)) {
	add(f.Lifetime < 0, "lifetime", "must not be negative")
	add(f.URL != "" && f.Every < Lifetime(time.Second), "every", "must be at least 1s")
	add(f.URL != "" && f.Timeout < Lifetime(time.Second), "timeout", "must be at least 1s")
	add(!percentage(f.Confidence), "confidence", "%d is not within 0 and 100", f.Confidence)
	add(!percentage(f.MaxRefused), "max_refused", "%d is not within 0 and 100", f.MaxRefused)
	add(!percentage(f.MaxShrink), "max_shrink", "%d is not within 0 and 100", f.MaxShrink)
	add(f.MaxMiB < 1 || f.MaxMiB > 1<<16, "max_mib", "%d is not within 1 and 65536", f.MaxMiB)
}

func usableURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// decoder returns a new Decoder of the feed's form.
func (f Feed) decoder() (feed.Decoder, error) {
	kind, _ := feed.KindOf(strings.TrimPrefix(f.Type, "auto"))
	d, err := feed.NewDecoder(feed.Settings{Preset: f.Preset, Kind: kind, Fields: f.Fields, Header: f.Header, Rows: f.Rows})
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	return d, nil
}

// sameSource tells whether g reads the same list in the same way.
func (f Feed) sameSource(g Feed) bool {
	return f.Path == g.Path && f.URL == g.URL && f.Preset == g.Preset && f.Type == g.Type && slices.Equal(f.Header, g.Header)
}

// sameSettings tells whether data that were read for f may be used for g.
func (f Feed) sameSettings(g Feed) bool { return reflect.DeepEqual(f, g) }

// where is what a feed is read from, for a person; an URL without what may be a
// secret in it.
func (f Feed) where() string {
	if f.Path != "" {
		return f.Path
	}
	u, err := url.Parse(f.URL)
	if err != nil {
		return "its url"
	}
	return u.Scheme + "://" + u.Host + "/…"
}

func percentage(n int) bool { return n >= 0 && n <= 100 }

// err is Check as one error, nil for a usable Feed.
func (f Feed) err() error {
	var all []error
	for _, m := range f.Check() {
		all = append(all, fmt.Errorf("%s: %s", m.Key, m.Message))
	}
	return errors.Join(all...)
}

// Lifetime is a span of time. Its text is a number of days ("30d") or a duration
// of Go's ("12h").
type Lifetime time.Duration

// UnmarshalText reads "30d", "12h", or "0" for no end.
func (l *Lifetime) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a number of days such as 30d", text)
		}
		*l = Lifetime(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a time such as 30d or 12h", text)
	}
	*l = Lifetime(d)
	return nil
}

// String writes whole days as days.
func (l Lifetime) String() string {
	const day = Lifetime(24 * time.Hour)
	if l%day == 0 {
		return strconv.FormatInt(int64(l/day), 10) + "d"
	}
	return time.Duration(l).String()
}

// MarshalText returns String's text.
func (l Lifetime) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// oneOf tells whether word is one of the words between the bars.
func oneOf(word, words string) bool {
	for w := range strings.SplitSeq(words, "|") {
		if w == word {
			return true
		}
	}
	return false
}
