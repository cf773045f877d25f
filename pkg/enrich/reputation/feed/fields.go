package feed

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is something a column or a member may say about an indicator.
type field uint8

const (
	fValue field = iota
	fType
	fPort
	fName
	fConfidence
	fTags
	fFirst
	fLast
	fFrom
	fUntil
	fReference
	fID
	fReports
	fTLP
	fAttack
	fCompromised
	fieldCount
)

const fieldNames = "value|type|port|name|confidence|tags|first_seen|last_seen|valid_from|valid_until|reference|id|reports|tlp|attack|compromised"

// Fields are the names that Settings.Fields may give, parted by bars.
func Fields() string { return fieldNames }

// mapping says which columns or members give a field, by name, the best first.
type mapping [fieldCount][]string

// mapped reads "value: a|b" pairs.
func mapped(names map[string]string) (m mapping, unknown string) {
	known := strings.Split(fieldNames, "|")
	for name, theirs := range names {
		f := slices.Index(known, name)
		if f < 0 {
			return m, name
		}
		m[f] = strings.Split(theirs, "|")
	}
	return m, ""
}

// cells are what a record says, by field.
type cells [fieldCount][]byte

// indicator makes one of what a record says, or tells why not.
func (c *cells) indicator(kind Kind) (i Indicator, reason string, broken bool) {
	for f := range c {
		c[f] = clean(c[f])
	}
	i = Indicator{Kind: kind, Value: c[fValue]}
	if len(i.Value) == 0 {
		return i, NoValue, false
	}
	if word := c[fType]; len(word) > 0 && kind == Any {
		k, known := kindOfType(string(bytes.ToLower(word)))
		if !known {
			return i, OtherType, false
		}
		i.Kind = k
	}
	reason = c.about(&i)
	return i, reason, reason != ""
}

// about fills in what is said about the indicator.
func (c *cells) about(i *Indicator) (reason string) {
	i.Name, i.ID, i.Reference = string(c[fName]), string(c[fID]), string(c[fReference])
	i.TLP, i.Tags, i.Attack = tlp(string(c[fTLP])), commas(c[fTags]), commas(c[fAttack])
	i.Reports = reports(c[fReports])
	var ok bool
	if i.Kind == Any || i.Kind == IP {
		i.addPort()
	}
	if i.Confidence, ok = confidence(c[fConfidence]); !ok {
		return BadNumber
	}
	if len(c[fPort]) > 0 {
		if i.Port, ok = parsePort(c[fPort]); !ok {
			return BadPort
		}
	}
	for n, at := range [...]*int64{&i.FirstSeen, &i.LastSeen, &i.ValidFrom, &i.ValidUntil} {
		if *at, ok = seconds(c[int(fFirst)+n]); !ok {
			return BadTime
		}
	}
	if yes(c[fCompromised]) {
		i.compromised()
	}
	return ""
}

// compromised marks the site of an honest owner that was broken into: it is not
// bad for good.
func (i *Indicator) compromised() {
	i.Tags = strings.TrimPrefix(i.Tags+",compromised", ",")
	if i.Confidence == 0 || i.Confidence > 49 {
		i.Confidence = 49
	}
}

// clean returns a cell without the words that feeds write for nothing.
func clean(cell []byte) []byte {
	cell = bytes.TrimSpace(cell)
	switch string(cell) {
	case "None", "null", "-", "N/A", "n/a":
		return nil
	}
	return cell
}

func yes(cell []byte) bool {
	return bytes.EqualFold(cell, []byte("true")) || bytes.EqualFold(cell, []byte("yes")) || string(cell) == "1"
}

// commas tidies a list of words.
func commas(cell []byte) string {
	if len(cell) == 0 {
		return ""
	}
	var words []string
	for word := range strings.SplitSeq(string(cell), ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, ",")
}

// confidence reads a number from 0 to 100 or one of STIX's words; the empty one
// is 0, unknown, and a 0 that is said is 1.
func confidence(cell []byte) (uint8, bool) {
	switch strings.ToLower(string(cell)) {
	case "":
		return 0, true
	case "none":
		return 1, true
	case "low":
		return 15, true
	case "medium", "med":
		return 50, true
	case "high":
		return 85, true
	}
	n, err := strconv.ParseFloat(string(cell), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return 0, false
	}
	return uint8(max(n, 1)), true
}

// tlp reads a marking, also as a tag ("tlp:amber+strict"); others are none.
func tlp(text string) string {
	text = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "tlp:")
	text = strings.TrimSuffix(text, "+strict")
	switch text {
	case "white", "clear", "green", "amber", "red":
		return text
	}
	return ""
}

// parsePort reads a port, 0 excepted.
func parsePort(digits []byte) (uint16, bool) {
	n, err := strconv.ParseUint(string(digits), 10, 16)
	return uint16(n), err == nil && n > 0
}

// seconds reads a time or a day, in UTC where it has no zone; the empty one is 0.
// Digits that its owner hid ("04:XX:XX") are taken for 0.
func seconds(cell []byte) (int64, bool) {
	if len(cell) == 0 {
		return 0, true
	}
	text := strings.TrimSuffix(strings.ReplaceAll(string(cell), "X", "0"), " UTC")
	for _, layout := range [...]string{time.DateTime, time.DateOnly, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05-0700"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.Unix(), true
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 0 || len(text) < 9 && n != 0:
		return 0, false
	case n > 1<<40: // milliseconds
		n /= 1000
	}
	return n, true
}

// kindOfType reads the words that feeds have for the types of their indicators:
// abuse.ch's, MISP's, Zeek's, OTX's and STIX's.
func kindOfType(word string) (Kind, bool) {
	switch strings.TrimPrefix(word, "intel::") {
	case "ip", "ipv4", "ipv6", "ip:port", "ip-src", "ip-dst", "ip-port", "addr", "address", "subnet", "cidr", "ipv4-addr", "ipv6-addr", "ip-src|port", "ip-dst|port":
		return IP, true
	case "domain", "hostname", "fqdn", "host", "domain-name":
		return Domain, true
	case "url", "uri":
		return URL, true
	case "md5", "sha1", "sha256", "md5_hash", "sha1_hash", "sha256_hash", "file_hash", "hash", "filehash-md5", "filehash-sha1", "filehash-sha256", "sha-1", "sha-256":
		return Hash, true
	case "ja3", "ja3-fingerprint-md5":
		return JA3, true
	case "ja3s", "ja3s-fingerprint-md5":
		return JA3S, true
	case "ja4", "ja4-fingerprint":
		return JA4, true
	case "jarm", "jarm-fingerprint":
		return JARM, true
	case "cert_hash", "x509-fingerprint-sha1", "sslcertfingerprint", "cert_sha1":
		return Cert, true
	case "filename", "filepath", "file_name", "path":
		return Path, true
	}
	return Any, false
}
