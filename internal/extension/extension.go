// Package extension speaks osquery's extension protocol for a logger plugin and a
// table: it registers with osqueryd, answers osqueryd's calls, hands each payload
// as bytes to one accept function, and stays registered for as long as osqueryd
// lives.
//
// It must never answer an error to a log call, for osqueryd would lose the row
// and stop itself; never look into a payload; and never open a network
// connection. osquery-go's own server is not used: it stops at messages of
// 100 MiB, and does not notice that osqueryd has forgotten it.
package extension

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Defaults of Config.
const (
	DefaultName     = "stackjoin"
	DefaultTimeout  = 3 * time.Second
	DefaultInterval = 3 * time.Second
	DefaultMaxWait  = 15 * time.Second
)

// Accept takes one call over. Once it returns nil the call is safe, or dropped by
// a policy of the callee's; its error is logged and counted but never told to
// osqueryd. It is called from many goroutines at once: osqueryd sends results one
// after the other, and status lines beside them.
//
// Payload is read until Accept returns, neither written to nor kept: its memory
// takes the next call.
// The context does not end when osqueryd hangs up or when a stop is asked for,
// only when Config.MaxWait has passed after that.
type Accept func(ctx context.Context, c Call) error

// Config says where osqueryd is and what to do with its calls.
type Config struct {
	// Socket is the path of osqueryd's extension manager socket, or the name of
	// its pipe on Windows (osqueryd's --socket).
	Socket string
	// Timeout is how long the manager socket may take to answer before that is
	// worth a warning (osqueryd's --timeout). Waiting goes on afterwards.
	Timeout time.Duration
	// Interval is the time between two questions to osqueryd whether this
	// extension is still registered (osqueryd's --interval).
	Interval time.Duration
	// MaxWait bounds the time from a requested stop to the end of Run.
	MaxWait time.Duration
	// Name is the extension's and the logger plugin's name.
	Name string
	// Version and SDKVersion are shown in osquery_extensions.
	Version    string
	SDKVersion string
	// Accept takes the calls. It is required.
	Accept Accept
	// Table, when set, is offered to osqueryd beside the logger.
	Table *Table
	// OnAbsent, when set, is told of each time in which osqueryd had no route to
	// this extension: from is when it was last known to have one, to when it had
	// one again. It is called from Run's goroutine, before calls of the new
	// registration are waited for, and should return quickly.
	OnAbsent func(from, to time.Time)
	// OnRegistered, when set, is called from Run's goroutine after each
	// registration with the UUID that osqueryd gave.
	OnRegistered func(uuid int64)
	// ParentAlive says whether the process that started this one still lives.
	// Unset, WatchParent is asked.
	ParentAlive func() bool
	// Counters, when set, is counted into.
	Counters *Counters
	// Log takes what is worth telling. Unset, nothing is logged.
	Log *slog.Logger
}

// Counters counts what happened to calls and registrations. It is safe for
// concurrent use.
type Counters struct {
	Accepted      atomic.Uint64 // calls that Accept took
	Failed        atomic.Uint64 // calls for which Accept returned an error
	Panics        atomic.Uint64 // calls that panicked
	Unknown       atomic.Uint64 // requests of a form this package does not know
	Registrations atomic.Uint64 // registrations that osqueryd took
	Absences      atomic.Uint64 // times osqueryd had forgotten this extension
	since         atomic.Int64  // Unix nanoseconds of the present registration; 0: none
}

// RegisteredSince returns when osqueryd took the present registration; ok is false
// when there is none, as far as is known: osqueryd is asked once per
// Config.Interval.
func (c *Counters) RegisteredSince() (since time.Time, ok bool) {
	nanoseconds := c.since.Load()
	if nanoseconds == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, nanoseconds), true
}

// withDefaults returns c with every optional field set, or an error that names
// what can not work.
func (c Config) withDefaults() (Config, error) {
	if c.Socket == "" {
		return c, errors.New("extension: no manager socket given")
	}
	if c.Accept == nil {
		return c, errors.New("extension: no accept function given")
	}
	if len(c.Socket) > maxSocketPath {
		return c, fmt.Errorf("extension: socket path %q has %d bytes, more than the %d that leave room for a UUID", c.Socket, len(c.Socket), maxSocketPath)
	}
	orDefault(&c.Name, DefaultName)
	orDefault(&c.Timeout, DefaultTimeout)
	orDefault(&c.Interval, DefaultInterval)
	orDefault(&c.MaxWait, DefaultMaxWait)
	if c.Counters == nil {
		c.Counters = &Counters{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// orDefault sets a field that is still its zero value.
func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Run serves osqueryd until it is done with this extension. It returns nil when
// osqueryd asked for a shutdown, when a stop was requested by ending ctx, and when
// both the manager socket and the parent process are gone; an error only for a
// Config that can not work.
//
// Ending ctx does not end Run at once: calls are served until osqueryd sends its
// shutdown, its socket is gone, or Config.MaxWait has passed. In every case Run
// returns after the calls in flight have been answered; those that outlast
// Config.MaxWait find their context ended.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	alive := cfg.ParentAlive
	if alive == nil {
		watched, release := WatchParent()
		defer release()
		alive = watched
	}
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	newSupervisor(cfg, alive, leave).run(ctx)
	return nil
}
