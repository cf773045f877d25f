package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/explain"
	"github.com/stackjoin/stackjoin/internal/logging"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// explainFlags are what the explain command was asked to do.
type explainFlags struct {
	config, id string
	json       bool
	feeds      []reputation.Feed
	dir        string
}

func explainCommand(std streams) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain [flags] EVENT-ID | FILE | -",
		Short: "Say how an enriched record came about",
		Long: `Reads an enriched record, then each row that its evidence names, and tells which row,
which process and which feed line made each part of it, how late each came, and what
can no longer be shown because retention has removed it.

FILE (or - for standard input) has enriched records, one a line, as scan and the
enriched topic have them. An EVENT-ID (enrichment.event.id) is looked for in the
enriched topic, and needs --config.`,
		Example: `  enricher scan --feed ipsum.txt osqueryd.results.log > enriched.ndjson
  enricher explain --id osqueryd.results.log:12 enriched.ndjson
  enricher explain --config enricher.yaml 0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001/00112233445566aa/7/0`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.explain(cmd.Context(), args[0], std) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE`: its brokers are asked for evidence that lies in topics")
	flags.StringVar(&f.id, "id", "", "of FILE, explain only the event with this `ID`")
	flags.BoolVar(&f.json, "json", false, "write JSON, one object a record, with the rows whole")
	return cmd
}

func (f *explainFlags) explain(ctx context.Context, what string, std streams) error {
	cfg, err := loadKafka(f.config)
	if err != nil {
		return err
	}
	f.feeds, f.dir = cfg.FeedList(), cfg.State.Dir
	var from explain.Reader = explain.Files{}
	var kafka *explain.Kafka
	if f.config != "" {
		options, err := cfg.Kafka.Options(logging.New(cfg.Log, std.err))
		if err != nil {
			return fmt.Errorf("kafka: %w", err)
		}
		if kafka, err = explain.NewKafka(options); err != nil {
			return err
		}
		defer kafka.Close()
		kafka.Progress = func(n int64) { fmt.Fprintf(std.err, "… %d records looked through\n", n) }
		from = kafka
	}
	file, err := openRecords(what, std.in)
	switch {
	case err == nil:
		defer func() { _ = file.Close() }() // it was only read
		return f.each(ctx, file, what, from, std.out)
	case !errors.Is(err, os.ErrNotExist):
		return err
	case kafka == nil:
		return fmt.Errorf("%s: no such file; to look for an event of that id in Kafka, name the brokers with --config", what)
	}
	value, err := kafka.Find(ctx, cfg.Outputs.Enriched, what)
	if err != nil {
		return err
	}
	if value == nil {
		return fmt.Errorf("%s: no event of that id is in topic %s; retention may have removed it", what, cfg.Outputs.Enriched)
	}
	return f.one(ctx, value, from, std.out)
}

func openRecords(name string, standard io.Reader) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(standard), nil
	}
	return os.Open(name) //nolint:wrapcheck // os names the file
}

// each explains the records of a file, or the last one of the id that was asked for.
func (f *explainFlags) each(ctx context.Context, file io.Reader, name string, from explain.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(file, 256<<10)
	var found []byte
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: line %d: %w", name, n, err)
		}
		if len(line) == 0 {
			break
		}
		if f.id != "" {
			if eventID(line) == f.id {
				found = line
			}
			continue
		}
		if err := f.one(ctx, line, from, out); err != nil {
			return fmt.Errorf("%s: line %d: %w", name, n, err)
		}
	}
	switch {
	case found != nil:
		return f.one(ctx, found, from, out)
	case f.id != "":
		return fmt.Errorf("%s: no event %s in it", name, f.id)
	}
	return nil
}

func eventID(line []byte) string {
	var r struct {
		Enrichment struct{ Event struct{ ID string } }
	}
	_ = json.Unmarshal(line, &r) // what is no record has no id
	return r.Enrichment.Event.ID
}

func (f *explainFlags) one(ctx context.Context, value []byte, from explain.Reader, out io.Writer) error {
	x, err := explain.Explain(ctx, value, from)
	if err != nil {
		return err
	}
	if err := x.ReadFeeds(ctx, f.keptLine); err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(out).Encode(x) //nolint:wrapcheck // the writer is the person's own
	}
	x.Write(out)
	fmt.Fprintln(out)
	return nil
}

// keptLine is where the line of a match lies in the copy of its feed in state.dir.
func (f *explainFlags) keptLine(m *explain.Match) (explain.Place, error) {
	for _, feed := range f.feeds {
		if feed.Resolved().Name != m.Feed {
			continue
		}
		path, line, err := reputation.KeptLine(f.dir, feed, m.Generation, m.Provenance)
		return explain.Place{File: path, Line: line}, err
	}
	return explain.Place{}, fmt.Errorf("feed %s is not in the configuration", m.Feed)
}
