package geo

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Config names the files; either may be empty.
type Config struct {
	Country string `yaml:"country" doc:"File in the MaxMind DB format whose networks have a country, such as GeoLite2-Country.mmdb or GeoLite2-City.mmdb. It is read into memory, and again when it changes."`
	ASN     string `yaml:"asn" doc:"The same, whose networks have an autonomous system, such as GeoLite2-ASN.mmdb."`
}

// Store holds the files in use. It implements enrich.Enricher, and is safe for
// concurrent use.
type Store struct {
	sources []*source
}

// source is a file that is asked for, with its last good data.
type source struct {
	path    string
	part    part
	current atomic.Pointer[file] // nil before the first good load
	tried   stamp                // by the goroutine that loads
}

// Open loads the files of cfg, and returns nil where it names none. A file that
// cannot be loaded is told by errs, and looked at again by Run.
func Open(cfg Config) (s *Store, errs []error) {
	s = &Store{}
	for _, f := range []struct {
		path string
		part part
	}{{cfg.Country, country()}, {cfg.ASN, network()}} {
		if f.path == "" {
			continue
		}
		src := &source{path: f.path, part: f.part}
		s.sources = append(s.sources, src)
		if err := src.reload(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(s.sources) == 0 {
		return nil, nil
	}
	return s, errs
}

// reload reads the file if it is another one than was last tried. The old data stay
// where that fails.
func (s *source) reload() error {
	at, err := stampOf(s.path)
	if err == nil && at == s.tried {
		return nil
	}
	s.tried = at
	if err != nil {
		return err
	}
	f, err := load(s.path, s.part)
	if err != nil {
		return err
	}
	s.tried = f.stamp
	s.current.Store(f)
	return nil
}

// every is how often the files are looked at.
const every = 5 * time.Second

// Run reads files again that change, until ctx ends. It starts no goroutine; the
// caller runs it in one of its own.
func (s *Store) Run(ctx context.Context, log *slog.Logger) error { return s.run(ctx, every, log) }

func (s *Store) run(ctx context.Context, pause time.Duration, log *slog.Logger) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	away := map[*source]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, src := range s.sources {
			before := src.current.Load()
			err := src.reload()
			switch now := src.current.Load(); {
			case err != nil && !away[src]:
				log.WarnContext(ctx, "geo database not loaded", "error", err, "older_in_use", now != nil)
			case now != before:
				log.InfoContext(ctx, "geo database loaded", "file", src.path, "type", now.db.Metadata.DatabaseType, "built", now.db.Metadata.BuildTime())
			}
			away[src] = err != nil
		}
	}
}

// Missing tells whether a file was never loaded: what it would say is unknown.
func (s *Store) Missing() bool {
	for _, src := range s.sources {
		if src.current.Load() == nil {
			return true
		}
	}
	return false
}

// Locate tells what the files say of an address: the zero Location where they do not
// know it.
func (s *Store) Locate(a netip.Addr) (l enrich.Location) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return l
	}
	for _, src := range s.sources {
		if f := src.current.Load(); f != nil {
			f.tell(a, &l)
		}
	}
	return l
}

// Name is "geo".
func (s *Store) Name() string { return "geo" }

// Enrich locates the two ends of an event and where its login came from. One that
// has any of these while a file was never loaded gets the gap geo_unavailable. The
// error is always nil.
func (s *Store) Enrich(_ context.Context, e *enrich.Event) error {
	asked := false
	locate := func(to *enrich.Location, a netip.Addr, ok bool) {
		if ok {
			*to, asked = s.Locate(a), true
		}
	}
	if e.HasEnds() {
		remote, _, ok := e.RemoteAddress()
		locate(&e.RemoteLocation, remote, ok)
		local, ok := e.LocalAddress()
		locate(&e.LocalLocation, local, ok)
	}
	if e.Session != nil {
		for _, l := range e.Session.Logins() {
			a, err := netip.ParseAddr(l.Remote)
			locate(&l.Location, a, err == nil)
		}
	}
	if asked && s.Missing() {
		e.AddGap("geo", enrich.GeoUnavailable)
	}
	return nil
}
