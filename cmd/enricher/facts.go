package main

import (
	"context"
	"log/slog"

	"github.com/stackjoin/stackjoin/internal/metrics"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
)

// factsRead are the facts, which come by Kafka or Kinesis, and whether they were read.
type factsRead struct {
	facts *route.Facts
	meter *metrics.Enricher
	log   *slog.Logger
	known chan struct{} // closed when the facts were read whole
}

func newFactsRead(facts *route.Facts, meter *metrics.Enricher, log *slog.Logger) factsRead {
	return factsRead{facts, meter, log, make(chan struct{})}
}

// whole tells that the facts were read whole.
func (l *factsRead) whole() {
	addresses, _ := l.facts.Owners.Size()
	l.log.Info("facts read, joining begins", "addresses", addresses, "stated", l.facts.Trail().Len(), "uses", l.facts.Uses().Len())
	l.meter.Learning(false)
	close(l.known)
}

// after has a stage begin when the facts are known: what it tells rests on them.
func (l *factsRead) after(next stage) stage {
	return func(ctx context.Context) error {
		select {
		case <-l.known:
			return next(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}
