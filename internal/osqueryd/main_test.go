package osqueryd_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/extension"
)

// roleVariable makes this test binary play an extension: "extension", or "crash",
// which ends at its first log call.
const roleVariable = "STACKJOIN_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// told is what the extension prints: how it was started, then each call.
type told struct {
	Start   []string `json:"start,omitempty"`
	Env     string   `json:"env,omitempty"`
	Stream  string   `json:"stream,omitempty"`
	Payload string   `json:"payload,omitempty"`
}

// play is an extension that prints what it is told, until osqueryd ends it.
func play(role string) error {
	flags := flag.NewFlagSet("extension", flag.ContinueOnError)
	socket := flags.String("socket", "", "")
	timeout := flags.Int("timeout", 0, "")
	interval := flags.Int("interval", 0, "")
	flags.Bool("verbose", false, "")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(told{Start: os.Args[1:], Env: os.Getenv("OSQUERY_EXTENSION")}); err != nil {
		return err
	}
	return extension.Run(ctx, extension.Config{
		Socket:   *socket,
		Timeout:  time.Duration(*timeout) * time.Second,
		Interval: time.Duration(*interval) * time.Second,
		Accept: func(_ context.Context, c extension.Call) error {
			if role == "crash" {
				os.Exit(3)
			}
			mu.Lock()
			defer mu.Unlock()
			return out.Encode(told{Stream: c.Stream, Payload: string(c.Payload)})
		},
	})
}
