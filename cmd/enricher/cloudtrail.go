package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// trailScan reads CloudTrail files twice: for the facts in all of them, then to write
// each record with what the facts tell. So it does not matter in which file or order
// a record comes.
type trailScan struct {
	files  []string
	table  *cloudtrail.Table
	uses   *cloudtrail.Table
	copies *cloudtrail.Copies
	index  *reputation.Index
	geo    cloudtrail.Geo // nil for none
	labels cloudtrail.Labels
	std    streams
	// sides are the records of instances' credentials, to be joined with rows.
	sides  []enrich.Side
	target *os.File
	out    *bufio.Writer
	links  int64

	records, duplicates, refused, matches int64
	objects                               int64
	skipped, gaps                         map[string]int64
	told                                  time.Time
}

// newTrailScan is for the files in paths, but for out, which an earlier scan may have
// left among them.
func newTrailScan(paths []string, out string, index *reputation.Index, std streams) (*trailScan, error) {
	files, err := trailFiles(paths, out)
	if err != nil {
		return nil, err
	}
	return &trailScan{
		files: files, table: cloudtrail.NewTable(0), uses: cloudtrail.NewTable(0), copies: cloudtrail.NewCopies(0), index: index, std: std,
		told: time.Now(), skipped: map[string]int64{}, gaps: map[string]int64{},
	}, nil
}

// trailFiles are the files named and those below the folders named, without the
// digests that CloudTrail keeps beside its records.
func trailFiles(paths []string, out string) (files []string, err error) {
	old, _ := os.Stat(out)
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "CloudTrail-Digest":
				return filepath.SkipDir
			case entry.IsDir(), name != path && strings.HasPrefix(entry.Name(), "."):
				return nil
			}
			if info, err := os.Stat(name); err != nil || !os.SameFile(info, old) {
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("--cloudtrail: %w", err)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("--cloudtrail: there is no file in %s", strings.Join(paths, ", "))
	}
	return files, nil
}

// run gathers the facts, then writes the records to the file named out, which stays
// open for the links until close.
func (s *trailScan) run(ctx context.Context, out string) error {
	err := s.each(ctx, "facts", func(f cloudtrail.Found, _ string) error {
		s.learn(f)
		return nil
	})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--cloudtrail-out: %w", err)
	}
	s.target, s.out = file, bufio.NewWriterSize(file, 256<<10)
	enricher := &cloudtrail.Enricher{Facts: s.table, Reputation: s.index, Geo: s.geo, Labels: s.labels}
	return s.each(ctx, "records", func(f cloudtrail.Found, name string) error { return s.write(s.out, enricher, f, name) })
}

// link writes what a join tells of a record.
func (s *trailScan) link(o enrich.Output) error {
	s.links++
	if _, err := s.out.Write(append(o.Value, '\n')); err != nil {
		return fmt.Errorf("--cloudtrail-out: %w", err)
	}
	return nil
}

// close ends the output file, where it was begun.
func (s *trailScan) close() error {
	if s == nil || s.target == nil {
		return nil
	}
	err := errors.Join(s.out.Flush(), s.target.Close())
	s.target = nil
	if err != nil {
		return fmt.Errorf("--cloudtrail-out: %w", err)
	}
	return nil
}

// joined is what rows are joined with.
func (s *trailScan) joined(cfg *enricherconf.Config) *joins.Trail {
	c := cfg.Cloud()
	c.Facts, c.Uses = s.table, s.uses
	c.MaxCalls = max(cloud.DefaultMaxCalls, len(s.sides))
	return &joins.Trail{Cloud: c, Sides: s.sides}
}

func (s *trailScan) each(ctx context.Context, pass string, found func(cloudtrail.Found, string) error) error {
	for i, name := range s.files {
		if time.Since(s.told) > progressEvery {
			s.told = time.Now()
			fmt.Fprintf(s.std.err, "… CloudTrail: %s, file %d of %d\n", pass, i+1, len(s.files))
		}
		if err := s.file(ctx, name, found); err != nil {
			return err
		}
	}
	return nil
}

func (s *trailScan) file(ctx context.Context, name string, found func(cloudtrail.Found, string) error) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("--cloudtrail: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	err = cloudtrail.Read(file, cloudtrail.Limits{}, func(f cloudtrail.Found) error {
		if ctx.Err() != nil {
			return errors.New("interrupted: the output is not complete")
		}
		return found(f, name)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *trailScan) learn(f cloudtrail.Found) {
	if f.Record == nil {
		return
	}
	s.copies.Note(f.Record)
	for _, fact := range cloudtrail.Extract(nil, f.Record) {
		s.table.Add(fact)
	}
}

// use notes from where credentials were used, once all issued keys are known.
func (s *trailScan) use(r *cloudtrail.Record) {
	if fact, ok := cloudtrail.Uses(r); ok {
		s.uses.Add(fact)
	}
}

func (s *trailScan) write(w io.Writer, enricher *cloudtrail.Enricher, f cloudtrail.Found, name string) error {
	switch {
	case f.Record != nil && !s.copies.Take(f.Record):
		s.duplicates++
	case f.Record != nil:
		return s.record(w, enricher, f, name)
	case f.Object != nil:
		s.objects++
	case f.Skipped != "":
		s.skipped[f.Skipped]++
	default:
		s.unreadable(f, name)
	}
	return nil
}

func (s *trailScan) record(w io.Writer, enricher *cloudtrail.Enricher, f cloudtrail.Found, name string) error {
	place := cloudtrail.Place{Position: enrich.Position{File: name, Line: f.Line}, Number: f.Number}
	line, summary, err := enricher.Append(nil, f.Record, place, time.Now())
	if err != nil {
		return err
	}
	s.records++
	s.use(f.Record)
	if summary.Instance != "" {
		s.sides = append(s.sides, enrich.Side{
			Host: enrich.Host(summary.Instance), Kind: cloud.Side, Time: f.Record.Time, Value: bytes.Clone(f.Record.Raw), Position: place.Position,
		})
	}
	s.matches += int64(summary.Matches)
	for _, g := range summary.Gaps {
		s.gaps[g.Reason]++
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

func (s *trailScan) unreadable(f cloudtrail.Found, name string) {
	s.refused++
	switch {
	case s.refused == maxShown+1:
		fmt.Fprintln(s.std.err, "… further CloudTrail records of this kind are only counted")
	case s.refused <= maxShown:
		fmt.Fprintf(s.std.err, "%s:%d: left out: %s\n", name, f.Line, f.Refused.Message)
	}
}

// print writes the summary.
func (s *trailScan) print() {
	fmt.Fprintf(s.std.err, "CloudTrail: %d records of %s written, %d duplicates left out\n", s.records, counted(len(s.files), "file"), s.duplicates)
	fmt.Fprintf(s.std.err, "  matches     %d\n", s.matches)
	fmt.Fprintf(s.std.err, "  gaps        %s\n", list(s.gaps))
	fmt.Fprintf(s.std.err, "  facts       %d held\n", s.table.Len())
	if n := s.table.Evicted(); n > 0 {
		fmt.Fprintf(s.std.err, "              %d older ones forgotten for want of room: what rests on them is told as unknown\n", n)
	}
	fmt.Fprintf(s.std.err, "  links       %d between calls and processes\n", s.links)
	fmt.Fprintf(s.std.err, "  unreadable  %d\n", s.refused)
	if len(s.skipped) > 0 {
		fmt.Fprintf(s.std.err, "  no records  %s\n", list(s.skipped))
	}
	if s.objects > 0 {
		fmt.Fprintf(s.std.err, "  S3          %d files are named and were not fetched\n", s.objects)
	}
}
