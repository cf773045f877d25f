package feed

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Patterns that reduce to a choice of single values are taken apart, others never.
func TestPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		`[ipv4-addr:value = '1.2.3.4']`:                                                  "ip 1.2.3.4",
		`[ ipv6-addr:value='2001:db8::/32' ]`:                                            "ip 2001:db8::/32",
		`[ipv4-addr:value ISSUBSET '1.2.0.0/16']`:                                        "ip 1.2.0.0/16",
		`[ipv4-addr:value IN ('1.2.3.4','1.2.3.5')]`:                                     "ip 1.2.3.4|ip 1.2.3.5",
		`[domain-name:value = 'a.org' OR ipv4-addr:value = '1.2.3.4']`:                   "domain a.org|ip 1.2.3.4",
		`[domain-name:value = 'a.org'] OR [url:value = 'http://b.org/\'']`:               `domain a.org|url http://b.org/'`,
		`([domain-name:value = 'a.org'])`:                                                "domain a.org",
		`[(domain-name:value = 'a.org' OR domain-name:value = 'b.org')]`:                 "domain a.org|domain b.org",
		`[file:hashes.'SHA-256' = 'aa' OR file:hashes.MD5 = 'bb']`:                       "hash aa|hash bb",
		`[file:hashes.md5 = 'bb']`:                                                       "hash bb",
		`[file:hashes."SHA-1" = 'bb']`:                                                   "error",
		`[file:name = 'x.exe']`:                                                          "path x.exe",
		`[x509-certificate:hashes.'SHA-1' = 'aa']`:                                       "cert_sha1 aa",
		`[network-traffic:dst_ref.value = '1.2.3.4' AND network-traffic:dst_port = 443]`: "ip 1.2.3.4:443",
		`[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '1.2.3.4' AND network-traffic:dst_port=80]`: "ip 1.2.3.4:80",
		`[network-traffic:dst_ref.value = '1.2.3.4' AND network-traffic:src_port = 443]`:                                             "-1",
		`[ipv4-addr:value = '1.2.3.4' AND network-traffic:dst_port = 443]`:                                                           "ip 1.2.3.4:443",
		`[domain-name:value = 'a.org' AND ipv4-addr:value = '1.2.3.4']`:                                                              "-1",
		`[domain-name:value = 'a.org' AND (ipv4-addr:value = '1.2.3.4' OR ipv4-addr:value = '1.2.3.5')]`:                             "-1",
		`[domain-name:value = 'b.org' OR domain-name:value = 'a.org' AND ipv4-addr:value = '1.2.3.4']`:                               "domain b.org|-1",
		`[domain-name:value = 'a.org'] AND [ipv4-addr:value = '1.2.3.4']`:                                                            "-1",
		`[domain-name:value = 'a.org'] FOLLOWEDBY [ipv4-addr:value = '1.2.3.4']`:                                                     "-1",
		`[domain-name:value = 'a.org'] REPEATS 5 TIMES`:                                                                              "-1",
		`[domain-name:value = 'a.org'] WITHIN 5.5 SECONDS`:                                                                           "-1",
		`[domain-name:value = 'a.org'] START t'2020-01-01T00:00:00Z' STOP t'2021-01-01T00:00:00Z'`:                                   "-1",
		`[domain-name:value != 'a.org']`:                                                                                             "-1",
		`[domain-name:value NOT = 'a.org']`:                                                                                          "-1",
		`[domain-name:value NOT IN ('a.org')]`:                                                                                       "-1",
		`[domain-name:value LIKE '%.a.org']`:                                                                                         "-1",
		`[domain-name:value MATCHES '.*']`:                                                                                           "-1",
		`[EXISTS file:name]`:                                                                                                         "-1",
		`[email-addr:value = 'a@b.org' OR domain-name:value='a.org']`:                                                                "domain a.org|-1",
		`[network-traffic:dst_port = 443]`:                                                                                           "-1",
		`[windows-registry-key:values[0].name = 'x']`:                                                                                "-1",
		`domain-name:value = 'a.org'`:                                                                                                "error",
		`[domain-name:value = 'a.org'`:                                                                                               "error",
		`[domain-name:value = a.org]`:                                                                                                "error",
		`[domain-name:value = 'a.org]`:                                                                                               "error",
		``:                                                                                                                           "error",
		`[]`:                                                                                                                         "error",
		strings.Repeat("(", 500):                                                                                                     "error",
	} {
		if got := patternText(pattern); got != want {
			t.Errorf("%.100s\n got %s\nwant %s", pattern, got, want)
		}
	}
}

func patternText(pattern string) string {
	c, err := parsePattern(pattern)
	if err != nil {
		return "error"
	}
	var parts []string
	for _, a := range c.atoms {
		if !a.known {
			c.unsupported++
			continue
		}
		text := a.kind.String() + " " + a.value
		if a.port > 0 {
			text += fmt.Sprint(":", a.port)
		}
		parts = append(parts, text)
	}
	if c.unsupported > 0 {
		parts = append(parts, fmt.Sprint(-c.unsupported))
	}
	return strings.Join(parts, "|")
}

// However deep a choice is grouped, its members are those written; once an AND or
// a FOLLOWEDBY joins two of them, none is taken.
func TestAndIsNeverSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(rt, "members")
		var want []string
		terms := make([]string, n)
		for i := range terms {
			terms[i] = fmt.Sprintf("domain-name:value = 'a%d.org'", i)
			want = append(want, fmt.Sprintf("domain a%d.org", i))
		}
		for len(terms) > 1 {
			at := rapid.IntRange(0, len(terms)-2).Draw(rt, "at")
			joined := "(" + terms[at] + " OR " + terms[at+1] + ")"
			terms = append(terms[:at], append([]string{joined}, terms[at+2:]...)...)
		}
		if got := patternText("[" + terms[0] + "]"); got != strings.Join(want, "|") {
			rt.Fatalf("%s: %s", terms[0], got)
		}
		if got := patternText("[" + terms[0] + " AND url:value = 'http://x.org/']"); got != "-1" {
			rt.Fatalf("an AND was split: %s", got)
		}
		if got := patternText("[" + terms[0] + "] FOLLOWEDBY [url:value = 'http://x.org/']"); got != "-1" {
			rt.Fatalf("a FOLLOWEDBY was split: %s", got)
		}
	})
}

func indicatorText(id, modified, pattern, more string) string {
	return fmt.Sprintf(`{"type":"indicator","id":"indicator--%s","created":"2020-01-01T00:00:00Z","modified":%q,"pattern":%q,"valid_from":"2020-01-01T00:00:00Z"%s}`, id, modified, pattern, more)
}

// Of several versions, in whatever document and order, the last modified counts.
func TestSTIXVersionsAndRevoked(t *testing.T) {
	old := indicatorText("1", "2020-01-01T00:00:00Z", "[domain-name:value = 'old.org']", "")
	newer := indicatorText("1", "2020-01-01T00:00:00.5Z", "[domain-name:value = 'new.org']", `,"confidence":70,"valid_until":"2027-01-01T00:00:00Z","labels":["x"]`)
	gone := indicatorText("2", "2020-01-02T00:00:00Z", "[domain-name:value = 'gone.org']", `,"revoked":true`)
	before := indicatorText("2", "2020-01-01T00:00:00Z", "[domain-name:value = 'gone.org']", "")
	yara := indicatorText("3", "2020-01-01T00:00:00Z", "rule x {}", `,"pattern_type":"yara"`)
	page := func(objects ...string) string {
		return `{"more":true,"next":"n","objects":[` + strings.Join(objects, ",") + `]}`
	}
	for _, documents := range [][]string{{page(old, gone, yara), page(newer, before)}, {page(newer, before), page(yara, old, gone)}} {
		b := mustRead(t, preset("taxii"), documents...)
		if !slices.Equal(b.taken, []string{"domain new.org"}) || len(b.left) != 2 {
			t.Errorf("%q %q", b.taken, b.left)
		}
		want := Detail{ID: "indicator--1", Tags: "x", Confidence: 70, ValidFrom: 1577836800, ValidUntil: 1798761600}
		if len(b.details) == 1 && b.details[0].Detail != want {
			t.Errorf("%+v", b.details[0].Detail)
		}
	}
}

// What an indicator indicates gives it its name and its techniques; its markings
// give the TLP.
func TestSTIXNamesFromRelationships(t *testing.T) {
	b := mustRead(t, preset("stix"), `{"type":"bundle","id":"bundle--1","spec_version":"2.0","objects":[
		{"type":"relationship","id":"relationship--1","relationship_type":"indicates","source_ref":"indicator--1","target_ref":"malware--1"},
		{"type":"relationship","id":"relationship--2","relationship_type":"indicates","source_ref":"indicator--1","target_ref":"attack-pattern--1"},
		`+indicatorText("1", "2020-01-01T00:00:00Z", "[url:value = 'http://a.org/']", `,"object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"],"external_references":[{"source_name":"s","url":"https://r.org/"}]`)+`,
		{"type":"malware","id":"malware--1","name":"PoisonIvy"},
		{"type":"attack-pattern","id":"attack-pattern--1","external_references":[{"source_name":"mitre-attack","external_id":"T1566"}]},
		{"type":"indicator","id":7}]}`)
	want := Detail{Name: "PoisonIvy", ID: "indicator--1", Attack: "T1566", TLP: "amber", Reference: "https://r.org/", ValidFrom: 1577836800}
	if len(b.details) != 1 || b.details[0].Detail != want || len(b.left) != 1 {
		t.Errorf("%+v %q", b.details, b.left)
	}
}
