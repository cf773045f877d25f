package geo

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/geotest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opened(t testing.TB) *Store {
	t.Helper()
	s, errs := Open(Config{
		Country: geotest.Country(t, map[string]string{"198.51.100.0/24": "NL", "198.51.100.7/32": "DE", "2001:db8::/32": "JP"}),
		ASN:     geotest.ASN(t, map[string]geotest.System{"198.51.0.0/16": {Number: 64500, Organization: "Example Transit"}, "203.0.113.0/24": {Number: 64501}}),
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return s
}

func TestEachFileTellsItsPart(t *testing.T) {
	s := opened(t)
	for text, want := range map[string]enrich.Location{
		"198.51.100.8":        {Country: "NL", ASN: 64500, Organization: "Example Transit"},
		"198.51.100.7":        {Country: "DE", ASN: 64500, Organization: "Example Transit"},
		"::ffff:198.51.100.7": {Country: "DE", ASN: 64500, Organization: "Example Transit"},
		"198.51.9.9":          {ASN: 64500, Organization: "Example Transit"},
		"203.0.113.1":         {ASN: 64501},
		"2001:db8::1%eth0":    {Country: "JP"},
		"10.0.0.1":            {},
		"2001:db9::1":         {},
	} {
		for range 2 { // the second is from the cache
			if got := s.Locate(netip.MustParseAddr(text)); got != want {
				t.Errorf("%s is in %+v, want %+v", text, got, want)
			}
		}
	}
	if got := s.Locate(netip.Addr{}); got != (enrich.Location{}) {
		t.Errorf("no address is in %+v", got)
	}
}

func TestAWrongFileIsRefusedAndTold(t *testing.T) {
	country := geotest.Country(t, map[string]string{"198.51.100.0/24": "NL"})
	whole, err := os.ReadFile(country)
	if err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), "odd.mmdb")
	geotest.Write(t, odd, "Odd", map[string]mmdbtype.DataType{"198.51.100.0/24": mmdbtype.Map{"country": mmdbtype.String("NL")}})
	cut := filepath.Join(t.TempDir(), "cut.mmdb")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]Config{
		"whose networks tell no asn": {ASN: country},
		"is no whole database":       {Country: cut},
		"no such file":               {Country: country + ".none"},
		"cannot be read":             {Country: odd},
	} {
		s, errs := Open(cfg)
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) || !s.Missing() {
			t.Errorf("%+v: %v, want %q", cfg, errs, want)
		}
		if got := s.Locate(netip.MustParseAddr("198.51.100.1")); got != (enrich.Location{}) {
			t.Errorf("%+v tells %+v", cfg, got)
		}
	}
	if s, errs := Open(Config{}); s != nil || len(errs) > 0 {
		t.Error("a store of nothing", errs)
	}
}

// A file that changes is read again, a broken one leaves the last good, and one that
// comes late ends the gap.
func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	s, errs := Open(Config{Country: path})
	if len(errs) != 1 || !s.Missing() {
		t.Fatal(errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, time.Millisecond, slog.New(slog.DiscardHandler)) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	put := func(code string) {
		geotest.Write(t, path, "Test-Country", map[string]mmdbtype.DataType{
			"198.51.100.0/24": mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}},
		})
	}
	for _, code := range []string{"NL", "DEU"} {
		put(code)
		for deadline := time.Now().Add(10 * time.Second); s.Locate(netip.MustParseAddr("198.51.100.1")).Country != code; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not told", code)
			}
		}
	}
	if err := os.WriteFile(path, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-time.After(20 * time.Millisecond)
	if got := s.Locate(netip.MustParseAddr("198.51.100.1")).Country; got != "DEU" || s.Missing() {
		t.Errorf("after a broken file: %q", got)
	}
}

func TestAMissAndAHitAllocateNothing(t *testing.T) {
	s := opened(t)
	for _, text := range []string{"198.51.100.7", "10.0.0.1", "2001:db8::1"} {
		a := netip.MustParseAddr(text)
		s.Locate(a)
		if n := testing.AllocsPerRun(100, func() { s.Locate(a) }); n > 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, path := range []string{
		geotest.Country(f, map[string]string{"198.51.100.0/24": "NL"}),
		geotest.ASN(f, map[string]geotest.System{"198.51.0.0/16": {Number: 64500, Organization: "Example"}}),
	} {
		whole, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(whole)
	}
	dir := f.TempDir()
	a, b := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "f.mmdb")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range []part{country(), network()} {
			file, err := load(path, p)
			if err != nil {
				continue
			}
			var to enrich.Location
			file.tell(a, &to)
			file.tell(b, &to)
		}
	})
}
