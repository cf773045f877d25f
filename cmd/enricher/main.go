// Command enricher joins osquery's rows with the processes behind them and with
// reputation feeds: as a member of a Kafka consumer group (run) or over log
// files (scan).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/stackjoin/stackjoin/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// streams are the program's standard input, output and error.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole program: arguments in, exit code out. Errors are sentences on
// standard error.
func run(ctx context.Context, args []string, std streams) int {
	root := &cobra.Command{
		Use:           "enricher",
		Short:         "Joins osquery rows with processes, reputation feeds and the cloud",
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(runCommand(std), scanCommand(std), validateCommand(std), lookupCommand(std), feedsCommand(std), explainCommand(std), topicsCommand(std), ingestCommand(std), reshardCommand(std))
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errChanges):
		return 2
	case !errors.Is(err, errTold):
		fmt.Fprintf(std.err, "enricher: %v\n", err)
	}
	return 1
}

// errTold ends a command whose findings are already on standard error.
var errTold = errors.New("already told")
