package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
)

// osqueryVersion asks osqueryd for its version when first wanted, and again until
// it answers.
func osqueryVersion(ctx context.Context, socket string, log *slog.Logger) func() string {
	known, asked := "", time.Time{}
	return func() string {
		if known != "" || time.Since(asked) < tellEvery {
			return known
		}
		asked = time.Now()
		version, err := extension.OsqueryVersion(ctx, socket)
		if err != nil {
			log.Warn("status rows go without osqueryd's version", "error", err)
		}
		known = version
		return known
	}
}
