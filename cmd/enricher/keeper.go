package main

import (
	"context"
	"log/slog"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// feedKeeper loads the feeds and keeps them fresh.
type feedKeeper struct {
	feeds  []reputation.Feed
	loader reputation.Loader
	log    *slog.Logger
	report reputation.Report
	loaded func(reputation.Report)
}

// load loads every feed. One that fails is taken from its last good copy; the
// error is of those that have none.
func (k *feedKeeper) load(ctx context.Context) (*reputation.Store, error) {
	index, report := k.loader.Load(ctx, k.feeds, nil)
	if len(index.Missing()) > 0 {
		return nil, report.Err()
	}
	if err := report.Err(); err != nil {
		k.log.Error("feeds broken, their last good copies are in use", "error", err)
	}
	k.report = report
	k.tell(report)
	return reputation.NewStore(index), nil
}

func (k *feedKeeper) tell(report reputation.Report) {
	for _, f := range report.Feeds {
		k.log.Info("feed loaded", "feed", f.Name, "entries", f.Entries, "refused", f.Refused, "skipped", f.Skipped, "private", f.Private,
			"generation", f.Generation)
		for _, warning := range f.Warnings() {
			k.log.Warn("feed rows left out", "feed", f.Name, "why", warning)
		}
	}
}

// reload watches files and addresses until ctx ends.
func (k *feedKeeper) reload(ctx context.Context, store *reputation.Store) error {
	reloader := reputation.Reloader{Store: store, Feeds: k.feeds, Loader: k.loader, Log: k.log, OnLoad: k.loaded}
	return reloader.Run(ctx)
}

// readOnly loads feeds beside an enricher that may be running on the same state.
func readOnly(cfg *enricherconf.Config) *reputation.Loader {
	l := &reputation.Loader{Header: cfg.Header}
	if cfg.State.Dir != "" { // without it there is no past
		l.Dir, l.ReadOnly, l.Keep = cfg.State.Dir, true, cfg.Retro.Window.Std()
	}
	return l
}
