package main

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/stackjoin/stackjoin/internal/metrics"
)

func TestThePagesAreWhatTheCodeSays(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{page: write, metricsPage: metrics.Document} {
		var want bytes.Buffer
		if err := write(&want); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what the code says: run make docs", name)
		}
	}
}
