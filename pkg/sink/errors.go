package sink

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// BatchError is a partial failure: the records at these indexes of the batch
// were not delivered, all others were. It has no Unwrap on purpose: one
// record's Permanent must not answer for the whole batch.
type BatchError struct {
	// Failed maps an index of the batch to that record's own error.
	Failed map[int]error
}

// Error names the count and the first failure in the batch's order.
func (e *BatchError) Error() string {
	if len(e.Failed) == 0 {
		return "no record failed"
	}
	first := slices.Min(slices.Collect(maps.Keys(e.Failed)))
	return fmt.Sprintf("%d records failed, first at index %d: %v", len(e.Failed), first, e.Failed[first])
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that sending the same record again cannot mend:
// the destination said of this record, sent alone, that it will never take it
// (too large, invalid). Nothing else is permanent: a missing topic, a refused
// login or a closed broker heal while the line is held.
//
// Inside a BatchError it judges that one record. Returned for a whole batch of
// several it says only that the batch was refused, one record or another being
// to blame: Retry halves such a batch until it has found the one.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent tells whether err, or an error it wraps, was marked Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks an error with the shortest wait the destination asked for
// before the next attempt. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

// AfterOf returns the wait that RetryAfter put on err, or zero.
func AfterOf(err error) time.Duration {
	var r *retryAfterError
	if errors.As(err, &r) {
		return r.after
	}
	return 0
}
