package main

import (
	"context"
	"os"
	"time"

	"github.com/stackjoin/stackjoin/internal/loggerstat"
)

// lookEvery is how often the configuration's files are looked at.
const lookEvery = 2 * time.Second

// stamp is what tells that a file was changed without reading it.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if path == "" || err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// stamps are those of the configuration and of the files it is made with. Those
// that are read again for each connection are not among them.
func (d *daemon) stamps() [2]stamp {
	all := [2]stamp{stampOf(d.path)}
	if cfg := d.settings.Load().cfg; cfg != nil {
		all[1] = stampOf(cfg.Redact.KeyFile)
	}
	return all
}

// watch takes a changed configuration into use, until ctx ends: when its files
// change, and on SIGHUP.
func (d *daemon) watch(ctx context.Context) {
	seen := d.stamps()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.hup:
		case <-tick.C:
			if d.stamps() == seen {
				continue
			}
		}
		seen = d.stamps()
		d.reload()
	}
}

// reload takes the file into use. A wrong one changes nothing: what runs goes on.
func (d *daemon) reload() {
	next, err := read(d.path, d.spoolDir)
	if err != nil {
		d.log.Error("the new configuration is wrong, the old one stays in use", "file", d.path, "error", err)
		old := *d.settings.Load()
		if old.wrong = err; old.cfg != nil {
			old.state = loggerstat.ConfigLastGood
		}
		d.settings.Store(&old)
		return
	}
	keepGood(d.path, d.spoolDir, d.log)
	if dir := next.cfg.SpoolDir(); dir != d.spoolDir {
		d.log.Warn("spool.dir takes effect at the next start", "in_use", d.spoolDir, "configured", dir)
	}
	d.use(next)
	d.log.Info("configuration in use", "file", d.path, "hash", next.hash)
}

// use makes settings those in use.
func (d *daemon) use(s *settings) {
	d.settings.Store(s)
	if s.cfg != nil && !d.verbose {
		d.setLevel(s.cfg.Log.Level)
	}
	select {
	case d.changed <- struct{}{}:
	default: // a change that was not yet taken up is pending, and will find these
	}
}
