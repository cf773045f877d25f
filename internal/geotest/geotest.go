// Package geotest writes databases in the MaxMind DB format for tests.
//
// It must never be imported outside tests.
package geotest

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Country writes a file in the layout of GeoLite2-Country with the code of each
// prefix, and returns its path.
func Country(t testing.TB, codes map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "country.mmdb")
	records := map[string]mmdbtype.DataType{}
	for prefix, code := range codes {
		records[prefix] = mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
	}
	Write(t, path, "Test-Country", records)
	return path
}

// System is an autonomous system.
type System struct {
	Number       uint32
	Organization string
}

// ASN writes a file in the layout of GeoLite2-ASN, and returns its path.
func ASN(t testing.TB, systems map[string]System) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "asn.mmdb")
	records := map[string]mmdbtype.DataType{}
	for prefix, s := range systems {
		records[prefix] = mmdbtype.Map{
			"autonomous_system_number": mmdbtype.Uint32(s.Number), "autonomous_system_organization": mmdbtype.String(s.Organization),
		}
	}
	Write(t, path, "Test-ASN", records)
	return path
}

// Write writes a database to path in one step.
func Write(t testing.TB, path, databaseType string, records map[string]mmdbtype.DataType) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: databaseType, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: time.Now().Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	// The wider first: what is written later covers what was.
	prefixes := slices.SortedFunc(maps.Keys(records), func(a, b string) int {
		return cmp.Compare(netip.MustParsePrefix(a).Bits(), netip.MustParsePrefix(b).Bits())
	})
	for _, prefix := range prefixes {
		record := records[prefix]
		_, network, err := net.ParseCIDR(prefix)
		if err == nil {
			err = tree.Insert(network, record)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree.WriteTo(file)
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}
