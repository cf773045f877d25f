package extension

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/internal/logging"
)

const (
	// retryInterval is the time between two tries to reach osqueryd, to register
	// with it, or, once a stop is requested, to see whether it is gone.
	retryInterval = 100 * time.Millisecond
	// farewell bounds how long osqueryd is waited for when this extension leaves
	// first.
	farewell = time.Second
)

// supervisor keeps the extension registered until there is reason to leave. All
// its fields belong to the goroutine of run.
type supervisor struct {
	cfg         Config
	parentAlive func() bool
	manager     manager
	plugin      *plugin
	server      *server
	warn        logging.Throttle

	listener *listener // of the present registration; nil before the first
	uuid     int64
	// seen is when osqueryd was last known to have a route here.
	seen time.Time
	// tableRefused is set once it has been told that the table was refused.
	tableRefused bool
}

// newSupervisor builds what run needs. leave must end the context that run is
// given; it is called when osqueryd asks for a shutdown.
func newSupervisor(cfg Config, parentAlive func() bool, leave context.CancelFunc) *supervisor {
	p := newPlugin(cfg, leave)
	return &supervisor{
		cfg:         cfg,
		parentAlive: parentAlive,
		manager:     manager{socket: cfg.Socket},
		plugin:      p,
		server:      newServer(p, cfg.Log),
	}
}

// run registers, and registers again when osqueryd has forgotten, until it is time
// to leave; then it lets what is in flight end.
func (s *supervisor) run(ctx context.Context) {
	for s.register(ctx) && s.watch(ctx) {
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.MaxWait)
	defer cancel()
	if s.listener != nil {
		s.linger(last)
		s.listener.close()
	}
	s.cfg.Counters.since.Store(0)
	s.server.stop(last)
}

// register tries until osqueryd has taken this extension. It returns false when it
// is time to leave instead.
func (s *supervisor) register(ctx context.Context) bool {
	started := time.Now()
	for {
		if ctx.Err() != nil {
			return false
		}
		err := s.tryRegister(ctx)
		if err == nil {
			return true
		}
		if s.orphaned(err) {
			return false
		}
		s.tellUnregistered(err, time.Since(started))
		pause(ctx, retryInterval)
	}
}

// pause waits, but not longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// orphaned tells whether err says that osqueryd's socket is gone, at a time when
// nobody is left who could bring it back.
func (s *supervisor) orphaned(err error) bool { return isGone(err) && !s.parentAlive() }

// tryRegister registers once and listens where osqueryd will call.
func (s *supervisor) tryRegister(ctx context.Context) error {
	uuid, err := s.askForUUID(ctx)
	if err != nil {
		return err
	}
	// From here on osqueryd may call, so nothing comes before listening.
	l, err := s.server.listen(fmt.Sprintf("%s.%d", s.cfg.Socket, uuid))
	if err != nil {
		return errors.Join(fmt.Errorf("listening for osqueryd: %w", err), s.manager.deregister(ctx, uuid))
	}
	if s.listener != nil {
		s.listener.close()
	}
	s.listener, s.uuid = l, uuid
	s.registered(time.Now())
	return nil
}

// askForUUID registers the logger and the table in one request, as osqueryd wants
// all plugins of an extension. The logger must not wait for a table whose name is
// taken, so a refusal is followed by the logger alone.
func (s *supervisor) askForUUID(ctx context.Context) (int64, error) {
	uuid, err := s.manager.register(ctx, s.cfg)
	if s.cfg.Table == nil || !refusesMore(err) {
		return uuid, err
	}
	alone := s.cfg
	alone.Table = nil
	uuid, aloneErr := s.manager.register(ctx, alone)
	if aloneErr == nil && !s.tableRefused {
		s.tableRefused = true
		s.cfg.Log.Warn("osqueryd refuses the table; the logger goes without it", "table", s.cfg.Table.Name, "error", err)
	}
	return uuid, aloneErr
}

// registered tells of a registration, and of the absence that it ended.
func (s *supervisor) registered(now time.Time) {
	from := s.seen
	s.seen = now
	s.cfg.Counters.Registrations.Add(1)
	s.cfg.Counters.since.Store(now.UnixNano())
	s.cfg.Log.Info("registered with osqueryd", "uuid", s.uuid, "socket", s.cfg.Socket)
	if s.cfg.OnRegistered != nil {
		s.cfg.OnRegistered(s.uuid)
	}
	if from.IsZero() {
		return
	}
	s.cfg.Counters.Absences.Add(1)
	s.cfg.Log.Warn("osqueryd had no route to this extension", "from", from, "to", now)
	if s.cfg.OnAbsent != nil {
		s.cfg.OnAbsent(from, now)
	}
}

// tellUnregistered says why there is no registration yet. That osqueryd's socket
// does not answer is expected for as long as osqueryd itself would wait.
func (s *supervisor) tellUnregistered(err error, waited time.Duration) {
	if isGone(err) && waited < s.cfg.Timeout {
		return
	}
	if n, ok := s.warn.Allow("register"); ok {
		s.cfg.Log.Warn("not registered with osqueryd; trying again", "waited", waited.Round(time.Millisecond), "error", err, "suppressed", n)
	}
}

// watch asks osqueryd from time to time whether it still has the route. It returns
// true when it has not, false when it is time to leave.
func (s *supervisor) watch(ctx context.Context) (forgotten bool) {
	wait := s.cfg.Interval
	for {
		pause(ctx, wait)
		if ctx.Err() != nil {
			return false
		}
		known, err := s.manager.registered(ctx, s.cfg.Name, s.uuid)
		switch {
		case err == nil && !known:
			s.cfg.Counters.since.Store(0)
			return true
		case err == nil:
			s.seen, wait = time.Now(), s.cfg.Interval
		case s.orphaned(err):
			return false
		default:
			if isGone(err) {
				// Whoever comes back on this socket is another osqueryd.
				s.cfg.Counters.since.Store(0)
			}
			s.tellUnanswered(ctx, err)
			wait = retryInterval
		}
	}
}

func (s *supervisor) tellUnanswered(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if n, ok := s.warn.Allow("watch"); ok {
		s.cfg.Log.Warn("osqueryd does not answer; waiting for it", "error", err, "suppressed", n)
	}
}

// linger serves on until osqueryd has sent its shutdown, its socket is gone, or
// last ends. After a requested stop osqueryd is usually being stopped as well, and
// has results to log until then.
func (s *supervisor) linger(last context.Context) {
	for last.Err() == nil {
		select {
		case <-s.plugin.done:
			return
		default:
		}
		if err := s.manager.reach(); err != nil && isGone(err) {
			s.cfg.Log.Info("osqueryd is gone; stopping", "error", err)
			return
		}
		s.await(last, retryInterval)
	}
	s.leaveFirst(context.WithoutCancel(last))
}

// await waits for a shutdown, but not longer than d or than ctx lasts.
func (s *supervisor) await(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-s.plugin.done:
	case <-ctx.Done():
	}
}

// leaveFirst tells an osqueryd that stays behind that this extension goes, so that
// the next one can register at once.
func (s *supervisor) leaveFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	if err := s.manager.deregister(ctx, s.uuid); err != nil {
		s.cfg.Log.Warn("could not deregister", "error", err)
	}
}
