// Command logger-ext is an osquery logger plugin: an extension that osqueryd
// starts. It makes each call durable in a spool before it answers, and ships the
// rows to Kafka, Kinesis or Firehose.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/loggerconf"
	"github.com/stackjoin/stackjoin/internal/logging"
	"github.com/stackjoin/stackjoin/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// flags are what the program was asked to do. osqueryd passes socket, timeout,
// interval and verbose.
type flags struct {
	config            string
	check             bool
	socket            string
	timeout, interval int
	verbose           bool
}

// run is the whole program: arguments in, exit code out.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
	cmd := &cobra.Command{
		Use:   "logger-ext",
		Short: "osquery logger plugin: spools every call durably and ships its rows to Kafka, Kinesis or Firehose",
		Long: `logger-ext is an osquery extension with the logger plugin "stackjoin". osqueryd
starts it when its path is in the file of --extensions_autoload, and logs to it with
--logger_plugin=stackjoin (docs/osquery.md).

The configuration is the file of --config, else of $` + loggerconf.Variable + `, else
` + loggerconf.Path("") + `. A wrong configuration never stops the
extension: it keeps spooling, and ships with the last good one.`,
		Example: `  logger-ext --check --config logger-ext.yaml
  osqueryd --logger_plugin=stackjoin --extensions_autoload=extensions.load`,
		Version:       version.String(),
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), stdout, stderr) },
	}
	set := cmd.Flags()
	set.StringVar(&f.config, "config", "", "configuration `FILE` (docs/config.md)")
	set.BoolVar(&f.check, "check", false, "check the configuration and the files it names, and exit")
	set.StringVar(&f.socket, "socket", "", "osqueryd's extension socket; osqueryd passes it")
	set.IntVar(&f.timeout, "timeout", 3, "seconds to wait for the socket; osqueryd passes it")
	set.IntVar(&f.interval, "interval", 3, "seconds between checks of the registration; osqueryd passes it")
	set.BoolVar(&f.verbose, "verbose", false, "log more; osqueryd passes it")
	// A flag that a later osqueryd passes must not end its logging.
	cmd.FParseErrWhitelist.UnknownFlags = slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--socket") })
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(spoolCommands())
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "logger-ext: %v\n", err)
		return 1
	}
	return 0
}

func (f *flags) run(ctx context.Context, stdout, stderr io.Writer) error {
	path := loggerconf.Path(f.config)
	if f.check {
		return check(path, stdout)
	}
	if f.socket == "" {
		return errors.New("osqueryd starts this program and passes --socket: name its path in the file of --extensions_autoload; to check a configuration use --check")
	}
	cfg, _ := loggerconf.Load(path) // a wrong one is told once the spool is ours
	logs := cfg.Log
	if f.verbose {
		logs.Level = "debug"
	}
	handler, setLevel := logging.NewHandler(logs, stderr)
	log, lines := newTee(handler)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	d := daemon{
		socket: f.socket, timeout: time.Duration(f.timeout) * time.Second, interval: time.Duration(f.interval) * time.Second,
		path: path, spoolDir: cfg.SpoolDir(), verbose: f.verbose, log: log, setLevel: setLevel, lines: lines, hup: hup,
	}
	return d.run(ctx)
}

// check tells everything that is wrong with a configuration.
func check(path string, stdout io.Writer) error {
	cfg, err := loggerconf.Load(path)
	if err != nil {
		return err
	}
	var all []error
	for _, p := range cfg.CheckFiles() {
		all = append(all, fmt.Errorf("%s: %s: %s", path, p.Key, p.Message))
	}
	if _, err := config.ReadSecret(cfg.Redact.Key, cfg.Redact.KeyFile); err != nil {
		all = append(all, fmt.Errorf("%s: redact.key_file: %w", path, err))
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: ok\n", path)
	return nil
}
