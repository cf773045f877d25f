package reputation

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Feed says where a list of indicators is read from and what its word is worth.
type Feed struct {
	Name   string `yaml:"name" doc:"The feed's name in matches, reports and metrics."`
	Path   string `yaml:"path" doc:"The file to read, plain or gzip. It is read again when it changes."`
	Preset string `yaml:"preset" default:"lines" enum:"lines|feodo" doc:"How the file is written: lines (one indicator a line) or feodo (the CSV of abuse.ch's Feodo Tracker)."`
	Type   string `yaml:"type" default:"auto" enum:"auto|ip|domain|url|hash" doc:"What the indicators are; rows of another type are refused. auto takes each row for what it looks like."`

	Confidence int      `yaml:"confidence" default:"50" doc:"How far the feed is trusted, 0 to 100."`
	Tags       []string `yaml:"tags" doc:"Words added to every match."`
	TLP        string   `yaml:"tlp" default:"clear" enum:"white|clear|green|amber|red" doc:"The traffic light protocol marking of the feed."`
	Lifetime   Lifetime `yaml:"lifetime" default:"0d" doc:"How long an indicator with a date counts after it was last (else first) seen; 0d is for as long as it is listed. Rows without a date count while they are listed."`

	AllowPrivate bool `yaml:"allow_private" default:"false" doc:"Load private and reserved addresses too, for a list of one's own."`
	MaxRefused   int  `yaml:"max_refused" default:"5" doc:"Percentage of rows that may be refused before the whole file is."`
	MaxShrink    int  `yaml:"max_shrink" default:"50" doc:"Percentage of its indicators that a feed may lose in one reload before the new file is refused; 100 allows any loss."`
}

// NewFeed returns a Feed with the defaults of its tags.
func NewFeed(name, path string) Feed {
	return Feed{
		Name: name, Path: path, Preset: "lines", Type: "auto", Confidence: 50, TLP: "clear",
		MaxRefused: 5, MaxShrink: 50,
	}
}

// Mistake is one thing wrong with a feed's settings.
type Mistake struct{ Key, Message string }

// Check tells everything that is wrong with the feed's settings, and is empty
// for a usable Feed. It does not look at the file.
func (f Feed) Check() []Mistake {
	var wrong []Mistake
	add := func(bad bool, key, format string, args ...any) {
		if bad {
			wrong = append(wrong, Mistake{key, fmt.Sprintf(format, args...)})
		}
	}
	_, known := decoderOf(f.Preset)
	add(f.Name == "", "name", "must not be empty")
	add(f.Path == "", "path", "must not be empty")
	add(!known, "preset", "%q is not one of lines, feodo", f.Preset)
	add(!oneOf(f.Type, "|auto|ip|domain|url|hash"), "type", "%q is not one of auto, ip, domain, url, hash", f.Type)
	add(!oneOf(f.TLP, "|white|clear|green|amber|red"), "tlp", "%q is not one of white, clear, green, amber, red", f.TLP)
	add(f.Lifetime < 0, "lifetime", "must not be negative")
	add(!percentage(f.Confidence), "confidence", "%d is not within 0 and 100", f.Confidence)
	add(!percentage(f.MaxRefused), "max_refused", "%d is not within 0 and 100", f.MaxRefused)
	add(!percentage(f.MaxShrink), "max_shrink", "%d is not within 0 and 100", f.MaxShrink)
	return wrong
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

// Lifetime is how long an indicator counts. Its text is a number of days ("30d")
// or a duration of Go's ("12h").
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

// decoder reads a feed's text into a builder. The error is about the file as a
// whole; rows that do not parse are refused to the builder.
type decoder func(*lineReader, *builder) error

// decoderOf returns the decoder of a preset.
func decoderOf(preset string) (decoder, bool) {
	switch preset {
	case "", "lines":
		return decodeLines, true
	case "feodo":
		return decodeFeodo, true
	}
	return nil, false
}
