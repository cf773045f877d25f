package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/loggerconf"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// spoolCommands are the commands for a person who looks into a spool. They change
// nothing and are safe beside a running logger-ext.
func spoolCommands() *cobra.Command {
	var config, dir string
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "look into the spool: read-only, safe beside a running logger-ext",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&config, "config", "", "configuration file that names the spool's folder")
	cmd.PersistentFlags().StringVar(&dir, "dir", "", "the spool's folder")
	cmd.MarkFlagsMutuallyExclusive("config", "dir")
	where := func() (string, error) {
		if dir != "" {
			return dir, nil
		}
		cfg, err := loggerconf.Load(loggerconf.Path(config))
		if err != nil {
			return "", fmt.Errorf("the spool's folder is not known, name it with --dir: %w", err)
		}
		return cfg.SpoolDir(), nil
	}
	cmd.AddCommand(statCommand(where), verifyCommand(where), dumpCommand(where))
	return cmd
}

func statCommand(where func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: "stat", Short: "tell what the spool holds and what it lost", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where()
			if err != nil {
				return err
			}
			sum, err := spool.Inspect(cmd.Context(), dir, nil)
			if err != nil {
				return err
			}
			printStat(cmd.OutOrStdout(), dir, &sum)
			return nil
		},
	}
}

func printStat(out io.Writer, dir string, sum *spool.Summary) {
	oldest := "-"
	if !sum.Oldest.IsZero() {
		oldest = sum.Oldest.Format(time.RFC3339Nano)
	}
	fmt.Fprintf(out, "dir            %q\nagent          %q\nrun            %q\nformat         %d\nclean          %v\n", dir, sum.Agent, sum.Run, sum.Format, sum.Clean)
	fmt.Fprintf(out, "segments       %d (%d of a newer format)\nbytes          %d\ncalls          %d\n", sum.Segments, sum.Newer, sum.Bytes, sum.Calls)
	fmt.Fprintf(out, "waiting calls  %d\nwaiting bytes  %d\noldest waiting %s\ndamaged        %d ranges, %d bytes\n", sum.Waiting, sum.WaitingBytes, oldest, sum.DamagedRanges, sum.DamagedBytes)
	for _, l := range sum.Losses {
		fmt.Fprintf(out, "lost           %s: %d calls of stream %q, %s/%s/%d to %d, %d bytes\n", l.Reason, l.Calls, l.Stream, l.Agent, l.Run, l.From, l.To, l.Bytes)
	}
}

var errDamaged = errors.New("the spool is damaged: logger-ext tells the missing calls as gaps and goes on")

func verifyCommand(where func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "check every frame; exit 1 when one is damaged", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			sum, err := spool.Inspect(cmd.Context(), dir, func(e spool.Entry) error {
				switch {
				case e.Damaged():
					fmt.Fprintf(out, "%s: bytes %d to %d are damaged\n", e.File, e.From, e.To)
				case e.Torn:
					fmt.Fprintf(out, "%s: bytes %d to %d are a call that was cut off or is being written\n", e.File, e.From, e.To)
				case e.Newer:
					fmt.Fprintf(out, "%s: of a newer format, not checked\n", e.File)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if sum.DamagedRanges > 0 {
				return fmt.Errorf("%d ranges, %d bytes: %w", sum.DamagedRanges, sum.DamagedBytes, errDamaged)
			}
			fmt.Fprintf(out, "%d calls in %d segments: ok\n", sum.Calls, sum.Segments)
			return nil
		},
	}
}

// dumped is one call as dump prints it.
type dumped struct {
	Name    string    `json:"name"`
	Stream  string    `json:"stream"`
	Type    string    `json:"type"`
	Rules   uint64    `json:"rules"`
	Spooled time.Time `json:"spooled"`
	Waiting bool      `json:"waiting"`
	Payload *string   `json:"payload,omitempty"`
	Base64  []byte    `json:"payload_base64,omitempty"`
}

var errEnough = errors.New("enough")

func dumpCommand(where func() (string, error)) *cobra.Command {
	var from, count uint64
	cmd := &cobra.Command{
		Use: "dump", Short: "print calls, one JSON object a line; payloads are printed as they were spooled", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where()
			if err != nil {
				return err
			}
			printed := uint64(0)
			_, err = spool.Inspect(cmd.Context(), dir, func(e spool.Entry) error {
				if e.Frame == nil || e.Frame.Seq < from {
					return nil
				}
				if count > 0 && printed == count {
					return errEnough
				}
				printed++
				return dump(cmd.OutOrStdout(), &e)
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "the lowest seq to print")
	cmd.Flags().Uint64Var(&count, "count", 0, "how many calls to print; 0 is all")
	return cmd
}

func dump(out io.Writer, e *spool.Entry) error {
	f := e.Frame
	d := dumped{Name: f.Name(), Stream: f.Stream, Type: string(rune(f.Type)), Rules: f.Rules, Spooled: f.Spooled, Waiting: e.Waiting}
	if utf8.Valid(f.Payload) {
		text := string(f.Payload)
		d.Payload = &text
	} else {
		d.Base64 = f.Payload
	}
	line, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("dump %s: %w", d.Name, err)
	}
	if _, err := out.Write(append(printable(line), '\n')); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return nil
}

// printable escapes what JSON does not and a terminal might obey: DEL, the second
// set of control characters and marks that turn the direction of text.
func printable(line []byte) []byte {
	risky := func(r rune) bool { return r >= utf8.RuneSelf-1 && !unicode.IsPrint(r) }
	if !slices.ContainsFunc([]rune(string(line)), risky) {
		return line
	}
	escaped := make([]byte, 0, len(line)+64)
	for _, r := range string(line) {
		if !risky(r) {
			escaped = utf8.AppendRune(escaped, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			escaped = fmt.Appendf(escaped, `\u%04x`, unit)
		}
	}
	return escaped
}
