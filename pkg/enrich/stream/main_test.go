package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/jointest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// childBrokers makes the test's program an enricher, to be killed.
const (
	childBrokers = "STREAM_TEST_BROKERS"
	childDir     = "STREAM_TEST_DIR"
	childDies    = "STREAM_TEST_DIES"  // in a row with this text
	childJoins   = "STREAM_TEST_JOINS" // to join, not to count
)

func TestMain(m *testing.M) {
	if brokers := os.Getenv(childBrokers); brokers != "" {
		if err := child(strings.Split(brokers, ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func child(brokers []string) error {
	cfg := config(brokers)
	cfg.Connection = append(cfg.Connection, append(quick(), kgo.TransactionTimeout(2*time.Second))...)
	cfg.StateDir = os.Getenv(childDir)
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	job := counting(os.Stderr)
	if os.Getenv(childJoins) != "" {
		job = jointest.Job(os.Stderr)
	}
	if text := os.Getenv(childDies); text != "" {
		job = dying(job, text)
	}
	return stream.RunKafka(context.Background(), cfg, 1, job)
}

// config is that of the tests' group.
func config(brokers []string) stream.KafkaConfig {
	return stream.Hurried(stream.KafkaConfig{
		StateTopic:  states,
		Connection:  []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.RebalanceTimeout(5 * time.Second)},
		Group:       "enricher",
		Inputs:      []string{in},
		Outputs:     map[enrich.Stream]string{enrich.Enriched: out, enrich.DeadLetters: dead, enrich.Findings: counts},
		ExactlyOnce: true,
		Log:         slog.New(slog.DiscardHandler),
	})
}
