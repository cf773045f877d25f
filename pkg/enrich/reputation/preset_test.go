package reputation

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// Every preset reads its own form with no other setting, and knows what role its list
// has and, where everybody takes it from one place, that place.
func TestEveryPresetIsReady(t *testing.T) {
	at := time.Time{}
	for preset, c := range map[string]struct {
		text, role, url string
		ask             func(*Index) []enrich.Threat
	}{
		"feodo": {
			"\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"\r\n\"2023-05-23 17:51:44\",\"9.9.9.9\",\"1194\",\"online\",\"2024-04-01\",\"Pikabot\"\r\n# END 1 entries\r\n",
			"block", "feodotracker.abuse.ch", func(x *Index) []enrich.Threat { return askAddress(x, "9.9.9.9", 1194) },
		},
		"urlhaus": {
			"# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n\"1\",\"2026-01-01 00:00:00\",\"http://evil.org/a\",\"online\",\"2022-12-16 04:XX:XX\",\"malware_download\",\"None\",\"https://x/\",\"y\"\n",
			"block", "urlhaus.abuse.ch", func(x *Index) []enrich.Threat { return x.URL(nil, []byte("http://evil.org/a"), at) },
		},
		"threatfox": {
			"# \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\",\"threat_type\",\"fk_malware\",\"malware_alias\",\"malware_printable\",\"last_seen_utc\",\"confidence_level\",\"is_compromised\",\"reference\",\"tags\",\"anonymous\",\"reporter\"\n" +
				"\"2026-01-01 00:00:00\", \"1\", \"9.9.9.9:80\", \"ip:port\", \"botnet_cc\", \"win.x\", \"None\", \"X\", \"\", \"75\", \"False\", \"None\", \"a,b\", \"0\", \"y\"\n",
			"block", "threatfox.abuse.ch", func(x *Index) []enrich.Threat { return askAddress(x, "9.9.9.9", 80) },
		},
		"sslbl_ja3": {
			"# ja3_md5,Firstseen,Lastseen,Listingreason\r\n" + someJA3 + ",2017-07-14 18:08:15,2019-07-27 20:42:54,Dridex\r\n", "block", "sslbl.abuse.ch",
			func(x *Index) []enrich.Threat { return x.Fingerprint(nil, feed.JA3, []byte(someJA3), at) },
		},
		"sslbl_certs": {
			"# Listingdate,SHA1,Listingreason\n2026-08-15 15:52:47,057b20a5a4b9eabb1a1b1f1d8f5f5b7a3e0fb9c6,Vidar C&C\n", "block", "sslbl.abuse.ch", nil,
		},
		"spamhaus_drop": {
			"{\"cidr\":\"9.9.8.0/23\",\"sblid\":\"SBL1\",\"rir\":\"x\"}\n{\"type\":\"metadata\",\"timestamp\":1,\"size\":1,\"records\":1}\n", "block", "www.spamhaus.org",
			func(x *Index) []enrich.Threat { return askAddress(x, "9.9.9.9", 0) },
		},
		"firehol":   {"# Entries : 1 subnets, 256 unique IPs\n9.9.9.0/24\n", "block", "raw.githubusercontent.com", func(x *Index) []enrich.Threat { return askAddress(x, "9.9.9.9", 0) }},
		"ipsum":     {"# IPsum\n9.9.9.9\t3\n", "block", "raw.githubusercontent.com", func(x *Index) []enrich.Threat { return askAddress(x, "9.9.9.9", 0) }},
		"openphish": {"http://evil.org/a\n", "block", "openphish.com", func(x *Index) []enrich.Threat { return x.URL(nil, []byte("http://evil.org/a"), at) }},
		"misp":      {mispEvent("evil.org"), "block", "", func(x *Index) []enrich.Threat { return askDomain(x, "evil.org") }},
		"stix": {
			`{"type":"bundle","id":"bundle--1","objects":[{"type":"indicator","spec_version":"2.1","id":"indicator--1","created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z","pattern":"[domain-name:value = 'evil.org']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}]}`,
			"block", "", func(x *Index) []enrich.Threat { return askDomain(x, "evil.org") },
		},
		"zeek":        {"#fields\tindicator\tindicator_type\tmeta.source\nevil.org\tIntel::DOMAIN\tx\n", "block", "", func(x *Index) []enrich.Threat { return askDomain(x, "evil.org") }},
		"hosts":       {"0.0.0.0 evil.org\n", "block", "", func(x *Index) []enrich.Threat { return askDomain(x, "evil.org") }},
		"warninglist": {`{"name":"n","version":1,"type":"hostname","matching_attributes":["domain"],"list":["good.org"]}`, "label", "", nil},
		"tranco":      {"1,good.org\n", "downgrade", "tranco-list.eu", nil},
	} {
		f := NewFeed(preset, filepath.Join(t.TempDir(), "list"))
		f.Preset = preset
		write(t, f.Path, c.text)
		x, report := Load(context.Background(), []Feed{f}, nil)
		if r := report.Feeds[0]; r.Err != nil || r.Entries != 1 || r.Refused != 0 {
			t.Errorf("%s: %+v", preset, r)
			continue
		}
		if c.ask != nil && len(c.ask(x)) != 1 {
			t.Errorf("%s: its indicator is not met", preset)
		}
		if got := f.Resolved(); got.Role != c.role {
			t.Errorf("%s: role %s", preset, got.Role)
		}
		remote := Feed{Preset: preset}.Resolved()
		request, err := http.NewRequest(http.MethodGet, remote.URL, nil)
		if err != nil || request.URL.Host != c.url {
			t.Errorf("%s: its address is %q, want one of %q", preset, remote.URL, c.url)
		}
	}
}

// A server that says nothing is left after the feed's timeout, and asked again soon, at
// a time of its own for each process.
func TestASilentServerIsLeft(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(stop)
	f := NewFeed("silent", "")
	f.URL, f.Timeout = server.URL, Lifetime(time.Second)
	_, report := (&Loader{Dir: t.TempDir()}).Load(t.Context(), []Feed{f}, nil)
	if r := report.Feeds[0]; r.Err == nil || r.Next.IsZero() || time.Until(r.Next) > 2*retryAfter {
		t.Errorf("%+v", r)
	}
	times := map[time.Duration]bool{}
	for range 100 {
		d := jittered(time.Hour)
		if d < 54*time.Minute || d > 66*time.Minute {
			t.Errorf("%v for an hour", d)
		}
		times[d] = true
	}
	if len(times) < 50 {
		t.Errorf("%d different times of 100", len(times))
	}
}
