package reputation

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/testdata"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// realFeed is one of the sample data's lists and what its SOURCES.md counts.
type realFeed struct {
	path, preset                    string
	set                             func(*Feed)
	rows, refused, skipped, private int
	entries                         int // -1 where repeated rows make it less than rows
}

func realFeeds() []realFeed {
	csv := func(typ, value, name string, header ...string) func(*Feed) {
		return func(f *Feed) {
			f.Type, f.Header, f.Fields = typ, header, map[string]string{"value": value, "name": name}
		}
	}
	return []realFeed{
		{path: "feeds/ipsum.txt", preset: "ipsum", rows: 29993, entries: 29993},
		{path: "feeds/firehol_level1.netset", preset: "firehol", rows: 2892, private: 13, entries: 2879},
		{path: "feeds/drop_v4.json", preset: "spamhaus_drop", rows: 1670, entries: 1670},
		{path: "feeds/ipblocklist.csv", preset: "feodo", rows: 28, entries: 28},
		{path: "feeds/ja3_fingerprints.csv", preset: "sslbl_ja3", rows: 98, entries: 98},
		{path: "feeds/osx-nix-ja3.csv", preset: "csv", set: csv("ja3", "md5", "app", "md5", "app"), rows: 158, refused: 1, entries: 157},
		{path: "feeds/ja4plus-mapping.csv", preset: "csv", set: csv("ja4", "ja4", "Application"), rows: 66, skipped: 31, entries: -1},
		{path: "feeds/sslblacklist.csv", preset: "csv", set: csv("cert_sha1", "SHA1", "ListingReason"), rows: 5565, entries: 5565},
		{path: "feeds/zeek/stalkerware.intel", preset: "zeek", rows: 2539, entries: 2539 - 311},
		{path: "feeds/zeek/gru-aa25.intel", preset: "zeek", rows: 125, entries: 122},
		{path: "feeds/zeek/Amnesty_NSO_Domains.intel", preset: "zeek", rows: 1424, skipped: 17, entries: -1},
		{path: "feeds/zeek/openphish.intel", preset: "zeek", rows: 300, entries: -1},
		{path: "feeds/zeek/abuse-ch-malware.intel", preset: "zeek", rows: 828, entries: -1},
		{path: "feeds/zeek/cobaltstrike_ips.intel", preset: "zeek", rows: 2087, private: -1, entries: -1},
		{path: "feeds/zeek/predict_intel.intel", preset: "zeek", rows: 122, entries: 45},
		{path: "feeds/zeek/abuse-ja3-fingerprints.intel", preset: "zeek"},
		{path: "misp/infoblox", preset: "misp", rows: 3263, refused: 1, skipped: 31, entries: -1},
		{path: "misp/warninglists/rfc1918", preset: "warninglist", rows: 3, entries: 3},
		{path: "misp/warninglists/rfc5735", preset: "warninglist", rows: 15, entries: 15},
		{path: "misp/warninglists/public-dns-v4", preset: "warninglist", rows: 62745, entries: 62745},
		{path: "misp/warninglists/sinkholes", preset: "warninglist", rows: 107, entries: 107},
		{path: "misp/warninglists/tranco10k", preset: "warninglist", rows: 10000, entries: 10000},
		{path: "misp/warninglists/cisco_top1000", preset: "warninglist", rows: 1000, skipped: -1, entries: -1},
		{path: "misp/warninglists/dynamic-dns", preset: "warninglist", rows: 35467, skipped: -1, entries: -1},
		{path: "misp/warninglists/empty-hashes", preset: "warninglist", rows: 6, skipped: 3, entries: 3},
		{path: "stix/apt1.json", preset: "stix", rows: 12, skipped: 2, entries: -1},
		{path: "stix/poisonivy.json", preset: "stix", rows: 67, refused: 1, entries: -1},
		{path: "stix/indicators-for-C2-with-COA.json", preset: "stix", rows: 2, private: 1, entries: 1},
		{path: "stix/unit42-watchdog-cryptomining-operation.json", preset: "stix", rows: 185, entries: -1},
	}
}

func (r realFeed) feed(dir string) Feed {
	f := NewFeed(filepath.Base(r.path), filepath.Join(dir, filepath.FromSlash(r.path)))
	f.Preset = r.preset
	if r.set != nil {
		r.set(&f)
	}
	return f
}

// Every list of the sample data loads with a preset, or with three lines of
// settings, and counts what its owner wrote.
func TestRealListsLoadWhole(t *testing.T) {
	dir := testdata.Dir(t)
	for _, r := range realFeeds() {
		x, report := Load(context.Background(), []Feed{r.feed(dir)}, nil)
		f := report.Feeds[0]
		if f.Err != nil {
			t.Errorf("%s: %v", r.path, f.Err)
			continue
		}
		if r.skipped < 0 {
			r.skipped = f.Skipped
		}
		if r.private < 0 {
			r.private = f.Private
		}
		if f.Rows != r.rows || f.Refused != r.refused || f.Skipped != r.skipped || f.Private != r.private {
			t.Errorf("%s: %d rows, %d refused, %d skipped, %d private; want %+v\n%v", r.path, f.Rows, f.Refused, f.Skipped, f.Private, r, f.Warnings())
		}
		if r.entries >= 0 && f.Entries != r.entries || f.Entries != x.Entries() || f.Entries == 0 && f.Rows > 0 {
			t.Errorf("%s: %d indicators, want %d", r.path, f.Entries, r.entries)
		}
	}
}

// A fingerprint that honest programs share shows both opinions, and so little
// confidence that it alone alarms nobody.
func TestSharedFingerprintShowsBothOpinions(t *testing.T) {
	dir := testdata.Dir(t)
	apps := realFeeds()[5].feed(dir)
	apps.Role = "label"
	x, _ := load(t, realFeeds()[4].feed(dir), apps)
	got := x.Fingerprint(nil, feed.JA3, []byte("f6fd83a21f9f3c5f9ff7b5c63bbc179d"), time.Time{})
	if len(got) != 1 || got[0].Name != "Adware" || got[0].Confidence > 25 || len(got[0].Labels) != 1 || got[0].Labels[0] != "osx-nix-ja3.csv: Alation Compose" {
		t.Errorf("%+v", got)
	}
}

// No name that Infoblox lists is cleared or lowered because it lies below a
// popular name or a provider of dynamic DNS.
func TestListsOfGoodNamesDoNotClearNamesBelowThem(t *testing.T) {
	dir := testdata.Dir(t)
	var feeds []Feed
	for _, r := range realFeeds() {
		if r.preset == "warninglist" || r.preset == "misp" {
			f := r.feed(dir)
			if f.Name == "tranco10k" || f.Name == "cisco_top1000" {
				f.Role = "downgrade"
			}
			feeds = append(feeds, f)
		}
	}
	x, _ := load(t, feeds...)
	asked, table := 0, x.table("infoblox")
	for i, row := range table.keys.rows {
		if table.details[row.detail].kind != feed.Domain {
			continue
		}
		asked++
		got := x.Domain(nil, table.keys.text(uint32(i)), time.Time{})
		if len(got) == 0 || got[0].Feed != "infoblox" || got[0].SuppressedBy != "" || got[0].DowngradedBy != "" && got[0].DowngradedBy != "tranco10k: "+got[0].Indicator {
			t.Errorf("%s: %+v", table.keys.text(uint32(i)), got)
		}
	}
	if asked < 2900 {
		t.Errorf("only %d names were asked about", asked)
	}
	if got := askDomain(x, "newremc22.ddns.net"); len(got) != 1 || len(got[0].Labels) == 0 {
		t.Errorf("the provider of dynamic DNS is not told: %+v", got)
	}
}

// Spamhaus counts its records in the last line: a list that lost some in between is
// refused.
func TestSpamhausCountIsChecked(t *testing.T) {
	text := string(testdata.Read(t, "feeds/drop_v4.json"))
	lines := strings.SplitAfter(text, "\n")
	f := feedOf(t, "drop", strings.Join(append(lines[:500], lines[600:]...), ""))
	f.Preset = "spamhaus_drop"
	if _, report := Load(context.Background(), []Feed{f}, nil); report.Err() == nil || !strings.Contains(report.Err().Error(), "says it has 1670 entries and has 1570") {
		t.Error(report.Err())
	}
}
