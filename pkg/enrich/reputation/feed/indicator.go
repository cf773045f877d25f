package feed

import "strings"

// Kind is what an indicator is compared with.
type Kind uint8

// The kinds of indicators. Any is for a value that is what it looks like: an
// address, a hash, a URL or a name.
const (
	Any Kind = iota
	IP
	Domain
	URL
	Hash
	JA3
	JA3S
	JA4
	JARM
	Cert  // the SHA-1 of a certificate in DER
	Path  // of a file; without a slash its last part, with * or ? a pattern
	Value // of columns that the feed's settings name
)

// kindNames are the words of Kinds, in the order of the constants.
const kindNames = "auto|ip|domain|url|hash|ja3|ja3s|ja4|jarm|cert_sha1|path|value"

// String is the word for the kind in settings.
func (k Kind) String() string { return strings.Split(kindNames, "|")[k] }

// Kinds are the words that KindOf knows, parted by bars.
func Kinds() string { return kindNames }

// KindOf reads a word of Kinds; the empty one is Any.
func KindOf(word string) (Kind, bool) {
	if word == "" {
		return Any, true
	}
	for i, name := range strings.Split(kindNames, "|") {
		if name == word {
			return Kind(i), true
		}
	}
	return Any, false
}

// Indicator is one value a feed names, and what the feed says about it.
type Indicator struct {
	Kind Kind
	// Value is as the feed lists it. It is valid during the call it is passed in.
	Value []byte
	// Port is the one an address is about, 0 for any.
	Port uint16
	// Exact keeps names below a listed name from matching.
	Exact bool
	Detail
}

// Detail is what a feed says about an indicator. What it does not say is zero.
type Detail struct {
	// Name is what the indicator belongs to: a family of malware, a threat.
	Name string
	// ID is the indicator's own name at its owner (a STIX id, a MISP attribute's
	// uuid), and Event that of what it is part of (a MISP event's uuid).
	ID, Event string
	Reference string
	// TLP is white, clear, green, amber or red.
	TLP string
	// Tags and Attack (ids of MITRE ATT&CK techniques) are comma-separated.
	Tags, Attack string
	// Confidence is 1 to 100, 0 where the feed does not say.
	Confidence uint8
	// Times are Unix seconds, 0 for unknown. Until is the first second after.
	FirstSeen, LastSeen, ValidFrom, ValidUntil int64
	// Reports is the feed's own number: how many lists or sightings.
	Reports uint32
}

// Row is where an indicator stands: a line of a text, or the number of an entry
// where there are no lines. Both count from 1. Text is valid during the call.
type Row struct {
	Document string
	Line     int
	Text     []byte
}

// Sink takes what a Decoder reads.
type Sink interface {
	// Add takes an indicator.
	Add(Row, *Indicator)
	// Leave notes a row that gives none, and why, in a fixed sentence. broken
	// tells a row that cannot be read from one that is not for matching.
	Leave(row Row, reason string, broken bool)
	// Declare notes a number of rows that the document says it has.
	Declare(n int)
}

// Decoder reads the documents of one load of one feed. An error is about the
// feed as a whole and makes the Decoder useless.
type Decoder interface {
	// Read takes one document, which it reads to its end.
	Read(*Text, Sink) error
	// Finish is called once, after the last document.
	Finish(Sink) error
}

// Why rows are left out.
const (
	TooLong     = "longer than 64 KiB"
	Words       = "more than one word"
	Unclosed    = "quotes do not match"
	Columns     = "not as many columns as the header"
	BadPort     = "port is not a number from 1 to 65535"
	BadTime     = "time is not written as 2006-01-02 15:04:05"
	BadNumber   = "confidence is not a number from 0 to 100"
	BadJSON     = "not one JSON value"
	NoValue     = "no value in the column of the indicators"
	OtherType   = "of a type that is not matched"
	OnePart     = "of a type of two parts, with one"
	NotToIDs    = "not meant for detection (to_ids is false)"
	Deleted     = "deleted or revoked by its owner"
	Unsupported = "pattern that is more than a choice of single values"
	BadPattern  = "pattern that is no STIX pattern"
	OneLabel    = "name of one label"
)

// addPort takes the port off "1.2.3.4:80" and "[2001:db8::7]:80".
func (i *Indicator) addPort() {
	if host, port, ok := splitPort(i.Value); ok {
		i.Value, i.Port, i.Kind = host, port, IP
	}
}
