package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Forward moves batches from src to dst, one at a time and in order, until src
// is finished (io.EOF itself, which gives nil), ctx ends, or something fails. It does
// not retry: wrap dst in Retry, and a failure is then only ctx's end.
//
// Every batch that src handed out is acknowledged exactly once before Forward
// takes the next one or returns: with nil when dst.Write returned nil (or the
// batch has no records), with Write's error otherwise. After a failed Write
// Forward stops, since to go on would pass over records. After a failed Ack it
// stops too: the batch is delivered but not remembered, and src hands it out
// again after a restart. It closes neither src nor dst.
func Forward(ctx context.Context, src Source, dst Sink) error {
	for {
		batch, err := src.Next(ctx)
		if err == io.EOF { //nolint:errorlint // a wrapped EOF is a fault of the source, not its end
			return nil
		}
		if err != nil {
			return fmt.Errorf("take the next batch: %w", err)
		}
		if err := forwardOne(ctx, batch, dst); err != nil {
			return err
		}
	}
}

func forwardOne(ctx context.Context, batch Batch, dst Sink) error {
	if len(batch.Records) > 0 {
		if err := dst.Write(ctx, batch.Records); err != nil {
			err = fmt.Errorf("deliver a batch of %d records: %w", len(batch.Records), err)
			return errors.Join(err, ackFailed(batch.Ack(err)))
		}
	}
	return ackFailed(batch.Ack(nil))
}

func ackFailed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("acknowledge a batch: %w", err)
}
