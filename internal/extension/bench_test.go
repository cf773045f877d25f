package extension_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// BenchmarkCall is one caller's result line through the socket: a connection for
// the ping and one for the call, as osqueryd makes them, and an accept that costs
// nothing. The driver's work is in it too.
func BenchmarkCall(b *testing.B) {
	for name, size := range map[string]int{"row": 300, "100rows": 30_000} {
		b.Run(name, func(b *testing.B) {
			socket := b.TempDir() + "/em"
			d, err := osqueryd.Start(osqueryd.Config{Socket: socket, Logger: "stackjoin", Timeout: patience, Interval: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				ended <- extension.Run(context.Background(), extension.Config{
					Socket: socket, Accept: func(context.Context, extension.Call) error { return nil },
				})
			}()
			if err := d.Activate(b.Context()); err != nil {
				b.Fatal(err)
			}
			line := strings.Repeat("x", size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.LogString(b.Context(), line); err != nil {
					b.Fatal(err)
				}
			}
			if err := d.Shutdown(context.Background()); err != nil {
				b.Error(err)
			}
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
}
