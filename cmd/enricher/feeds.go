package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// feedKeeper loads the feeds, keeps them fresh, and keeps the last good copy of
// each, so that a feed that is broken at a restart costs no matches.
type feedKeeper struct {
	feeds  []reputation.Feed
	dir    string // empty keeps no copies
	log    *slog.Logger
	report reputation.Report
	loaded func(reputation.Report)
}

// load loads every feed. One that fails is taken from its last good copy; the
// error names those that have none.
func (k *feedKeeper) load(ctx context.Context) (*reputation.Store, error) {
	index, report := reputation.Load(ctx, k.feeds, nil)
	k.save(report)
	if err := report.Err(); err != nil {
		fallback, names := k.fallback(report)
		index, report = reputation.Load(ctx, fallback, index)
		if report.Err() != nil {
			return nil, err
		}
		k.log.Error("feeds broken, their last good copies are in use", "feeds", names, "error", err)
	}
	k.report = report
	k.tell(report)
	return reputation.NewStore(index), nil
}

// fallback is the feeds with the paths of those that failed replaced by their
// copies'.
func (k *feedKeeper) fallback(report reputation.Report) (feeds []reputation.Feed, names []string) {
	feeds = append(feeds, k.feeds...)
	for i, f := range report.Feeds {
		if f.Err != nil && k.dir != "" {
			feeds[i].Path = k.copyOf(f.Name)
			names = append(names, f.Name)
		}
	}
	return feeds, names
}

func (k *feedKeeper) tell(report reputation.Report) {
	for _, f := range report.Feeds {
		k.log.Info("feed loaded", "feed", f.Name, "entries", f.Entries, "refused", f.Refused, "private", f.Private, "generation", f.Generation)
		for _, warning := range f.Warnings() {
			k.log.Warn("feed rows refused", "feed", f.Name, "why", warning)
		}
	}
}

// reload watches the files until ctx ends.
func (k *feedKeeper) reload(ctx context.Context, store *reputation.Store) error {
	reloader := reputation.Reloader{Store: store, Feeds: k.feeds, Log: k.log, OnLoad: func(r reputation.Report) {
		k.save(r)
		k.loaded(r)
	}}
	return reloader.Run(ctx)
}

func (k *feedKeeper) copyOf(name string) string {
	return filepath.Join(k.dir, "feeds", url.PathEscape(name))
}

// save copies what was read. A copy that cannot be written is told, no more: the
// feed itself is in use.
func (k *feedKeeper) save(report reputation.Report) {
	if k.dir == "" {
		return
	}
	for i, f := range report.Feeds {
		if f.Err != nil || f.Unchanged || f.Path != k.feeds[i].Path {
			continue
		}
		if err := copyFile(f.Path, k.copyOf(f.Name)); err != nil {
			k.log.Error("last good copy of a feed not kept", "feed", f.Name, "error", err)
		}
	}
}

// copyFile replaces to by a copy of from, or leaves it as it was.
func copyFile(from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("folder for feed copies: %w", err)
	}
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy feed: %w", err)
	}
	defer source.Close() //nolint:errcheck // only read
	temporary, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return fmt.Errorf("copy feed: %w", err)
	}
	_, err = io.Copy(temporary, source)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy feed: %w", err), os.Remove(temporary.Name()))
	}
	return nil
}
