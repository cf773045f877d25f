// Command demo shows one attack on its way from osqueryd's socket to the enriched
// topic, with the real programs and an embedded Kafka. It needs no service and no
// root, and leaves its files for a look.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// limit is how long the whole demo may take.
const limit = 2 * time.Minute

func run(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "stackjoin-demo-")
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	fmt.Fprintf(out, "An embedded Kafka, %d hosts with osquery and logger-ext, one enricher. Files: %s\n", len(fleet()), dir)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(4, "osquery.results", "osquery.status", "osquery.enriched", "osquery.findings", "osquery.deadletter"))
	if err != nil {
		return fmt.Errorf("embedded Kafka: %w", err)
	}
	defer kafka.Close()
	if err := createState(ctx, kafka.ListenAddrs()[0]); err != nil {
		return err
	}
	stopEnricher, err := startEnricher(ctx, dir, kafka.ListenAddrs()[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopEnricher()) }()
	hosts, err := playAll(ctx, out, dir, kafka.ListenAddrs()[0])
	defer func() { err = errors.Join(err, hosts.leave()) }()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rows were logged through osquery's socket, durable before each answer.\n", hosts.rows)
	if err := showEvidence(ctx, out, dir, kafka.ListenAddrs()[0], hosts.rows); err != nil {
		return err
	}
	if err := showFindings(ctx, out, dir, kafka.ListenAddrs()[0]); err != nil {
		return err
	}
	return showCloud(ctx, out, dir, hosts.attacked)
}

// createState makes the compacted topic of the enricher's state.
func createState(ctx context.Context, broker string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return fmt.Errorf("embedded Kafka: %w", err)
	}
	defer client.Close()
	resp, err := kadm.NewClient(client).CreateTopic(ctx, 4, 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, "demo.state")
	if err == nil {
		err = resp.Err
	}
	if err != nil {
		return fmt.Errorf("state topic: %w", err)
	}
	return nil
}

// startEnricher runs the real program with the example configuration.
func startEnricher(ctx context.Context, dir, broker string) (stop func() error, err error) {
	log, err := os.Create(filepath.Join(dir, "enricher.log"))
	if err != nil {
		return nil, fmt.Errorf("enricher: %w", err)
	}
	cmd := exec.CommandContext(ctx, "bin/enricher", "run", "--config", "examples/enricher.yaml")
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+broker, "GROUP=demo", "STATE_DIR="+filepath.Join(dir, "state"), "FEEDS_DIR=examples/feeds")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start enricher (make build): %w", err), log.Close())
	}
	return func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		if waitErr := cmd.Wait(); waitErr != nil {
			err = errors.Join(err, fmt.Errorf("enricher (see %s): %w", log.Name(), waitErr))
		}
		return errors.Join(err, log.Close())
	}, nil
}
