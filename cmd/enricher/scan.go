package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/geo"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// scanFlags are what the scan command was asked to do.
type scanFlags struct {
	config, out, findings string
	feeds, geo            []string
	cloudTrail, sensors   []string
	cloudTrailOut         string
}

func scanCommand(std streams) *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{
		Use:   "scan [flags] [FILE…|-]",
		Short: "Enrich osquery's log files, without services",
		Long: `Reads files as osquery's filesystem logger writes them (osqueryd.results.log,
osqueryd.snapshots.log; differential, batch and snapshot form; plain or gzip) in
the order given, or standard input, and writes each row once, in order, with its
enrichment, as one line of JSON. Logs of network sensors (--sensor: Zeek's TSV and
JSON, Suricata's eve, Route 53 Resolver's query logs) are read after them, and linked
with the processes behind them (docs/enriched.md). A line
that is no record is told with its file and line, counted, and left out. The
summary comes on standard error.

With --cloudtrail, CloudTrail's files (in any shape it delivers, plain or gzip;
folders are searched) are read twice: for the facts in all of them, then to write
each record once to --cloudtrail-out with who is behind it, and behind all of them
which of osquery's processes made the calls. Rows get their host's cloud, and the
principal behind their login (docs/cloudtrail.md). Standard input is then read only where "-" is given.`,
		Example: `  enricher scan --feed ipsum.txt --feed feodo=feodo.csv osqueryd.results.log > enriched.ndjson
  zcat old.log.gz | enricher scan --feed ipsum.txt -
  enricher scan --feed ipsum.txt --sensor conn.log --sensor ssl.log osqueryd.results.log
  enricher scan --feed ipsum.txt --cloudtrail AWSLogs --cloudtrail-out cloudtrail.ndjson`,
		RunE: func(cmd *cobra.Command, files []string) error { return f.scan(cmd.Context(), files, std) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE`: its feeds and joins are used")
	flags.StringArrayVar(&f.feeds, "feed", nil, "reputation feed, `[PRESET=]PATH` or URL; presets: lines (default) and those of docs/feeds.md; may be repeated")
	flags.StringArrayVar(&f.geo, "geo", nil, "database in the MaxMind format, `country=PATH` or asn=PATH; may be given once each")
	flags.StringVar(&f.out, "out", "", "write enriched rows to `FILE` instead of standard output")
	flags.StringArrayVar(&f.cloudTrail, "cloudtrail", nil, "CloudTrail file or folder, `PATH`; may be repeated")
	flags.StringVar(&f.cloudTrailOut, "cloudtrail-out", "", "write enriched CloudTrail records to `FILE`")
	flags.StringArrayVar(&f.sensors, "sensor", nil, "network sensor's log `PATH`; may be repeated")
	flags.StringVar(&f.findings, "findings", "", "write findings to `FILE`, one a line, each with its revision; without it they are only counted")
	return cmd
}

func (f *scanFlags) scan(ctx context.Context, files []string, std streams) (err error) {
	if (len(f.cloudTrail) > 0) != (f.cloudTrailOut != "") {
		return errors.New("--cloudtrail and --cloudtrail-out need each other: what to read, and where to write it")
	}
	cfg, err := enricherconf.Load(f.config)
	if err != nil {
		return err
	}
	for _, flag := range f.feeds {
		cfg.Feeds = append(cfg.Feeds, enricherconf.FeedOf(flag))
	}
	index, report := readOnly(cfg).Load(ctx, cfg.FeedList(), nil)
	if err := report.Err(); err != nil {
		return err
	}
	places, err := f.openGeo(cfg)
	if err != nil {
		return err
	}
	var trail *trailScan
	if len(f.cloudTrail) > 0 {
		if trail, err = f.scanTrail(ctx, cfg, index, places, std); err != nil {
			return errors.Join(err, trail.close())
		}
		defer func() { err = errors.Join(err, trail.close()) }()
	} else if len(files)+len(f.sensors) == 0 {
		files = []string{"-"}
	}
	return f.join(ctx, cfg, files, index, places, trail, report, std)
}

// join takes osquery's rows and sensors' records through the joins, with what
// CloudTrail tells of their hosts, if trail is not nil.
func (f *scanFlags) join(ctx context.Context, cfg *enricherconf.Config, files []string, index *reputation.Index, places *geo.Store, trail *trailScan, report reputation.Report, std streams) (err error) {
	out, closeOut, err := f.output(std.out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	findings, closeFindings, err := f.openFindings()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFindings()) }()
	s := newSummary(std.err, len(files)+len(f.sensors), report)
	s.findings, s.trail = findings, trail
	session := stream.NewFileSession(files, std.in, out, s.aside)
	session.AddSensors(f.sensors)
	s.session = session
	err = stream.Run(ctx, session, stream.Job{
		Build:   f.pipelines(cfg, index, places, trail),
		Observe: s.observe,
		Log:     slog.New(slog.DiscardHandler),
	})
	err = errors.Join(err, s.failed)
	if trail != nil {
		trail.print()
	}
	s.print(ctx.Err() != nil || err != nil)
	if err == nil && ctx.Err() != nil {
		err = errors.New("interrupted: the output is not complete")
	}
	return err
}

// pipelines makes the one pipeline of a scan. Topics that the configuration names mean
// nothing here.
func (f *scanFlags) pipelines(cfg *enricherconf.Config, index *reputation.Index, places *geo.Store, trail *trailScan) func(stream.Partition, func(string) enrich.State) (*enrich.Pipeline, error) {
	cfg.Inputs = enricherconf.Inputs{}
	builder := joins.NewBuilder(cfg, reputation.NewStore(index), places)
	if trail != nil {
		builder.Trail(trail.joined(cfg))
	}
	if len(f.sensors) == 0 {
		return pipelines(builder)
	}
	return func(p stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
		return builder.Alone(p.Topic, state)
	}
}

func (f *scanFlags) scanTrail(ctx context.Context, cfg *enricherconf.Config, index *reputation.Index, places *geo.Store, std streams) (*trailScan, error) {
	s, err := newTrailScan(f.cloudTrail, f.cloudTrailOut, index, std)
	if err != nil {
		return nil, err
	}
	if places != nil {
		s.geo = places
	}
	s.labels = cfg.Labels.Known()
	return s, s.run(ctx, f.cloudTrailOut)
}

// openGeo opens the databases of the configuration and the flags. A scan does not go
// on without one: nobody would see it come later.
func (f *scanFlags) openGeo(cfg *enricherconf.Config) (*geo.Store, error) {
	files := cfg.Geo
	for _, flag := range f.geo {
		kind, path, _ := strings.Cut(flag, "=")
		switch {
		case path != "" && kind == "country":
			files.Country = path
		case path != "" && kind == "asn":
			files.ASN = path
		default:
			return nil, fmt.Errorf("--geo %s: write country=PATH or asn=PATH", flag)
		}
	}
	places, problems := geo.Open(files)
	return places, errors.Join(problems...)
}

// openFindings returns where findings go; without --findings they are counted only.
func (f *scanFlags) openFindings() (out io.Writer, finish func() error, err error) {
	if f.findings == "" {
		return io.Discard, func() error { return nil }, nil
	}
	file, err := os.OpenFile(f.findings, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--findings: %w", err)
	}
	return file, file.Close, nil
}

func (f *scanFlags) output(standard io.Writer) (out io.Writer, finish func() error, err error) {
	if f.out == "" {
		return standard, func() error { return nil }, nil
	}
	file, err := os.OpenFile(f.out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--out: %w", err)
	}
	return file, file.Close, nil
}

// summary tells a scan's progress and result on standard error.
type summary struct {
	err     io.Writer
	files   int
	feeds   reputation.Report
	session *stream.FileSession
	stats   enrich.Stats
	started time.Time
	told    time.Time
	// shown counts the unreadable lines that were told one by one, and raised the
	// findings, which go to findings.
	shown, raised int
	findings      io.Writer
	trail         *trailScan // nil without CloudTrail
	failed        error      // of writing findings or links
}

// progressEvery is how often a long scan says how far it is.
const progressEvery = 5 * time.Second

func newSummary(err io.Writer, files int, feeds reputation.Report) *summary {
	now := time.Now()
	return &summary{err: err, files: files, feeds: feeds, stats: enrich.NewStats(), started: now, told: now}
}

func (s *summary) observe(stats enrich.Stats) {
	s.stats.Add(stats)
	if time.Since(s.told) < progressEvery {
		return
	}
	s.told = time.Now()
	fmt.Fprintf(s.err, "… %d rows, %s\n", s.rows(), size(s.session.Read()))
}

// maxShown is how many unreadable lines are told one by one.
const maxShown = 20

// aside takes what is no enriched row.
func (s *summary) aside(o enrich.Output) {
	switch o.Stream {
	case enrich.Findings:
	case enrich.CloudTrail:
		if err := s.trail.link(o); err != nil && s.failed == nil {
			s.failed = err
		}
		return
	default:
		s.unreadable(o)
		return
	}
	s.raised++
	if _, err := s.findings.Write(append(o.Value, '\n')); err != nil && s.failed == nil {
		s.failed = fmt.Errorf("--findings: %w", err)
	}
}

func (s *summary) unreadable(o enrich.Output) {
	s.shown++
	switch {
	case s.shown == maxShown+1:
		fmt.Fprintln(s.err, "… further lines of this kind are only counted")
	case s.shown <= maxShown:
		var letter struct{ Message string }
		_ = json.Unmarshal(o.Value, &letter) // our own record
		fmt.Fprintf(s.err, "%s: left out: %s\n", o.ID, letter.Message)
	}
}

func (s *summary) rows() (n int64) {
	for _, count := range s.stats.Rows {
		n += count
	}
	return n
}
