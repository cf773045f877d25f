package sink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

// listSource hands out its batches and then end.
type listSource struct {
	batches [][]sink.Record
	end     error
	ackErr  error
	acks    []error
}

func (s *listSource) Next(ctx context.Context) (sink.Batch, error) {
	if err := ctx.Err(); err != nil {
		return sink.Batch{}, err
	}
	if len(s.batches) == 0 {
		return sink.Batch{}, s.end
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return sink.Batch{Records: b, Ack: func(err error) error {
		s.acks = append(s.acks, err)
		return s.ackErr
	}}, nil
}

func TestForward(t *testing.T) {
	errDisk := errors.New("disk")
	one := [][]sink.Record{records(2), nil, records(1)}
	tests := map[string]struct {
		src      listSource
		outcomes []sinktest.Outcome
		want     error // nil, or an error that the result wraps
		acks     []error
		landed   string
	}{
		"all":            {listSource{batches: one, end: io.EOF}, nil, nil, []error{nil, nil, nil}, "0 1 0"},
		"nothing":        {listSource{end: io.EOF}, nil, nil, nil, ""},
		"source fails":   {listSource{batches: one[:1], end: errDisk}, nil, errDisk, []error{nil}, "0 1"},
		"broken EOF":     {listSource{end: fmt.Errorf("read: %w", io.EOF)}, nil, io.EOF, nil, ""},
		"sink fails":     {listSource{batches: one, end: io.EOF}, []sinktest.Outcome{{Err: errAway}}, errAway, []error{errAway}, ""},
		"ack fails":      {listSource{batches: one, end: io.EOF, ackErr: errDisk}, nil, errDisk, []error{nil}, "0 1"},
		"both fail":      {listSource{batches: one, end: io.EOF, ackErr: errDisk}, []sinktest.Outcome{{Err: errAway}}, errDisk, []error{errAway}, ""},
		"one of a batch": {listSource{batches: one, end: io.EOF}, []sinktest.Outcome{failed(map[int]error{1: errAway})}, new(sink.BatchError), []error{new(sink.BatchError)}, "0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			fake := &sinktest.Fake{Answer: sinktest.Script(tt.outcomes...)}
			err := sink.Forward(t.Context(), &tt.src, fake)
			if !same(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if !slices.EqualFunc(tt.src.acks, tt.acks, same) {
				t.Errorf("acks %v, want %v", tt.src.acks, tt.acks)
			}
			if got := values(fake.Landed()); got != tt.landed {
				t.Errorf("landed %q, want %q", got, tt.landed)
			}
		})
	}
}

// same compares by errors.Is, and batch errors by type.
func same(got, want error) bool {
	var a, b *sink.BatchError
	if errors.As(want, &b) {
		return errors.As(got, &a)
	}
	return errors.Is(got, want)
}

func TestForwardEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		src := &listSource{batches: [][]sink.Record{records(1), records(1)}, end: io.EOF}
		err := sink.Forward(ctx, src, sink.Retry(always(errAway), sink.RetryConfig{}))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if len(src.acks) != 1 || src.acks[0] == nil || len(src.batches) != 1 {
			t.Errorf("acks %v, %d batches left: want the one in flight refused, the other untouched", src.acks, len(src.batches))
		}
	})
}
