package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// What both logs are given: 100 records, then a sync.
const (
	recordBytes = 863
	perSync     = 100
	logRounds   = 7
	barRows     = 1.0
	barDisk     = 1.02
)

// spool measures the spool alone beside the write-ahead log of Prometheus: both
// take 100 records of 863 bytes, ours as one call, and sync.
func (b *bench) spool(ctx context.Context) error {
	syncs := 2_000
	if b.long {
		syncs = 20_000
	}
	rates, costs, disk := map[string][]float64{}, map[string][]float64{}, 0.0
	for range logRounds {
		for _, name := range []string{"spool", "wlog"} {
			dir := filepath.Join(b.dir, name)
			u, err := spawn(ctx, name, dir, strconv.Itoa(syncs))
			if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
				return err
			}
			records := float64(syncs * perSync)
			rates[name] = append(rates[name], records/u.Wall.Seconds())
			costs[name] = append(costs[name], u.CPU.Seconds()*1e6/records)
			if name == "spool" {
				disk = float64(u.Disk) / (records * recordBytes)
			}
		}
	}
	ratio := median(ratios(rates["spool"], rates["wlog"]))
	b.table.atLeast("spool / wlog: rows/s, a sync per 100", fmt.Sprintf("%.2fx, %.0f k/s against %.0f k/s",
		ratio, median(rates["spool"])/1e3, median(rates["wlog"])/1e3), ratio, barRows)
	b.table.note("spool / wlog: CPU per row", fmt.Sprintf("%.2fx, %.2f us against %.2f us",
		median(ratios(costs["spool"], costs["wlog"])), median(costs["spool"]), median(costs["wlog"])))
	b.table.atMost("spool: bytes on disk / payload", fmt.Sprintf("%.4fx, calls of 100 rows", disk), disk, barDisk)
	return nil
}

// ratios of rounds: each pair was measured side by side.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// logChild fills one of the logs: its arguments are a folder and how many syncs.
func logChild(ctx context.Context, name string, args []string) error {
	if len(args) != 2 {
		return errors.New("a folder and a number of syncs are needed")
	}
	dir := args[0]
	syncs, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("number of syncs: %w", err)
	}
	fill := fillSpool
	if name == "wlog" {
		fill = fillWlog
	}
	return measured(func() (int64, error) {
		if err := fill(ctx, dir, syncs); err != nil {
			return 0, err
		}
		return folderBytes(dir)
	})
}

func fillSpool(ctx context.Context, dir string, syncs int) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s, err := spool.Open(ctx, spool.Config{Dir: dir, MaxBytes: 1 << 40, MinFree: -1})
	if err != nil {
		return err //nolint:wrapcheck // it names the spool
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	call := spool.Call{Stream: "results", Type: 'S', Payload: make([]byte, perSync*recordBytes)}
	for range syncs {
		if _, err := s.Append(ctx, call); err != nil {
			return err //nolint:wrapcheck // it names the spool
		}
	}
	return nil
}

func fillWlog(_ context.Context, dir string, syncs int) (err error) {
	w, err := wlog.New(slog.New(slog.DiscardHandler), nil, dir, compression.None)
	if err != nil {
		return fmt.Errorf("wlog: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	records := make([][]byte, perSync)
	for i := range records {
		records[i] = make([]byte, recordBytes)
	}
	for range syncs {
		if err := errors.Join(w.Log(records...), w.Sync()); err != nil {
			return fmt.Errorf("wlog: %w", err)
		}
	}
	return nil
}

// folderBytes is the size of all files in a folder.
func folderBytes(dir string) (total int64, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			return 0, fmt.Errorf("size of %s: %w", dir, err)
		}
		total += info.Size()
	}
	return total, nil
}
