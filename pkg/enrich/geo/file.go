package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// probed is how many networks of a file, those without a record too, are looked at to
// know what it tells.
const probed = 100_000

// part is one of the things that a file tells.
type part struct {
	name string
	// read adds what a record says; the error is of a record that cannot be decoded.
	read func(r maxminddb.Result, to *enrich.Location) error
}

// country reads the layout of GeoLite2, GeoIP2 and DB-IP.
func country() part {
	return part{"country", func(r maxminddb.Result, to *enrich.Location) error {
		var record struct {
			Country struct {
				ISOCode string `maxminddb:"iso_code"`
			} `maxminddb:"country"`
		}
		if err := r.Decode(&record); err != nil {
			return fmt.Errorf("country: %w", err)
		}
		to.Country = record.Country.ISOCode
		return nil
	}}
}

// network reads the number and the organization of an autonomous system, in the same
// layout.
func network() part {
	return part{"asn", func(r maxminddb.Result, to *enrich.Location) error {
		var record struct {
			Number       uint32 `maxminddb:"autonomous_system_number"`
			Organization string `maxminddb:"autonomous_system_organization"`
		}
		if err := r.Decode(&record); err != nil {
			return fmt.Errorf("autonomous system: %w", err)
		}
		to.ASN, to.Organization = record.Number, record.Organization
		return nil
	}}
}

// file is one database as it was loaded. It does not change, but for its cache.
type file struct {
	part  part
	db    *maxminddb.Reader
	stamp stamp
	// cache has records that were met, each at a place by its offset. Many networks
	// share a record.
	cache [cached]atomic.Pointer[met]
}

// cached is how many records are kept decoded.
const cached = 1 << 12

type met struct {
	offset uintptr
	told   enrich.Location
}

// stamp tells whether a file changed without reading it.
type stamp struct {
	size     int64
	modified time.Time
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, fmt.Errorf("geo database: %w", err)
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

// load reads the file at path. It is not mapped: one that is cut while it is in use
// would end the process.
func load(path string, p part) (*file, error) {
	at, err := stampOf(path)
	if err != nil {
		return nil, err
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("geo database: %w", err)
	}
	db, err := maxminddb.OpenBytes(whole)
	if err != nil {
		return nil, fmt.Errorf("%s is no whole database in the MaxMind format (.mmdb): %w", path, err)
	}
	f := &file{part: p, db: db, stamp: at}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return f, nil
}

// check wants the file to tell what it is for.
func (f *file) check() error {
	n := 0
	for r := range f.db.Networks(maxminddb.IncludeNetworksWithoutData()) {
		var to enrich.Location
		if n++; n >= probed {
			break
		}
		if r.Err() == nil && !r.Found() {
			continue
		}
		if err := errors.Join(r.Err(), f.part.read(r, &to)); err != nil {
			return fmt.Errorf("cannot be read: %w", err)
		}
		if to != (enrich.Location{}) {
			return nil
		}
	}
	return fmt.Errorf("is a %s database, whose networks tell no %s", f.db.Metadata.DatabaseType, f.part.name)
}

// tell adds what the file says of an address. A record that cannot be decoded says
// nothing.
func (f *file) tell(a netip.Addr, to *enrich.Location) {
	if a.Is6() && f.db.Metadata.IPVersion == 4 {
		return
	}
	r := f.db.Lookup(a)
	if !r.Found() {
		return
	}
	slot := &f.cache[(uint64(r.Offset())*0x9e3779b97f4a7c15)>>(64-12)]
	m := slot.Load()
	if m == nil || m.offset != r.Offset() {
		m = &met{offset: r.Offset()}
		if f.part.read(r, &m.told) != nil {
			m.told = enrich.Location{}
		}
		slot.Store(m)
	}
	if m.told.Country != "" {
		to.Country = m.told.Country
	}
	if m.told.ASN != 0 {
		to.ASN, to.Organization = m.told.ASN, m.told.Organization
	}
}
