package extension

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/transport"

	"github.com/stackjoin/stackjoin/internal/logging"
)

// acceptPause is the wait after a connection could not be taken, for want of file
// descriptors for instance.
const acceptPause = 50 * time.Millisecond

// connState is what a connection is doing.
type connState int

const (
	connIdle    connState = iota // waits for a request
	connReading                  // a request has begun to arrive
	connBusy                     // a request is being carried out and answered
)

// server answers osqueryd's connections, on one listener per registration. Each
// connection has a goroutine to itself while it lasts, so a ping is answered while a call blocks. All
// goroutines are started here and waited for in stop.
type server struct {
	plugin *plugin
	log    *slog.Logger
	warn   logging.Throttle
	// ctx is the context of calls; abandon ends it.
	ctx     context.Context
	abandon context.CancelFunc
	// protocols are those of connections that have ended.
	protocols sync.Pool

	// next takes a connection to one of the goroutines that wait for it, until
	// leaving is closed.
	next    chan thrift.TTransport
	waiting atomic.Int32
	leaving chan struct{}

	mu    sync.Mutex
	conns map[thrift.TTransport]connState
	wg    sync.WaitGroup
}

func newServer(p *plugin, log *slog.Logger) *server {
	ctx, cancel := context.WithCancel(context.Background())
	return &server{plugin: p, log: log, ctx: ctx, abandon: cancel, next: make(chan thrift.TTransport), leaving: make(chan struct{}), conns: map[thrift.TTransport]connState{}}
}

// listener is one socket on which osqueryd's connections are taken.
type listener struct {
	transport thrift.TServerTransport
	closed    chan struct{}
}

// listen opens the socket of one registration and serves it. The socket is ready
// to be connected to when listen returns.
func (s *server) listen(path string) (*listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	t, err := transport.OpenServer(path, 0)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what for
	}
	if err := t.Listen(); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what for
	}
	if err := restrict(path); err != nil {
		s.log.Warn("could not restrict access to the extension socket", "path", path, "error", err)
	}
	l := &listener{transport: t, closed: make(chan struct{})}
	s.wg.Go(func() { s.acceptAll(l) })
	return l, nil
}

// close takes no more connections; those it has stay. It must be called once.
func (l *listener) close() {
	close(l.closed)
	// Interrupt closes the listener and removes its socket; nothing that it could
	// report can be acted on.
	_ = l.transport.Interrupt()
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// acceptAll takes connections until the listener is closed.
func (s *server) acceptAll(l *listener) {
	for {
		conn, err := l.transport.Accept()
		if l.isClosed() {
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if err == nil {
			s.mark(conn, connIdle)
			select {
			case s.next <- conn:
			default:
				s.wg.Go(func() { s.serveAll(conn) })
			}
			continue
		}
		if n, ok := s.warn.Allow("accept"); ok {
			s.log.Error("could not take a connection of osqueryd", "error", err, "suppressed", n)
		}
		select {
		case <-l.closed:
		case <-time.After(acceptPause):
		}
	}
}

// maxWaiting is how many goroutines wait for the next connection.
const maxWaiting = 4

// serveAll serves a connection and those that come when it has ended: a new
// goroutine for each would grow a new stack each time, with every call.
func (s *server) serveAll(conn thrift.TTransport) {
	for {
		s.serve(conn)
		if s.waiting.Add(1) > maxWaiting {
			s.waiting.Add(-1)
			return
		}
		select {
		case conn = <-s.next:
			s.waiting.Add(-1)
		case <-s.leaving:
			return
		}
	}
}

// serve answers one connection's requests until it ends. A panic ends only this
// connection.
func (s *server) serve(conn thrift.TTransport) {
	defer s.drop(conn)
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("panic while reading a request", "panic", cause, "stack", string(debug.Stack()))
		}
	}()
	p := s.protocol(conn)
	for {
		if _, err := p.in.Peek(1); err != nil {
			s.protocols.Put(p) // nothing was begun
			return
		}
		s.mark(conn, connReading)
		if err := s.answer(conn, p); err != nil {
			if n, ok := s.warn.Allow("answer"); ok {
				s.log.Warn("a request of osqueryd broke off", "error", err, "suppressed", n)
			}
			return
		}
		s.mark(conn, connIdle)
	}
}

// protocol is one for this connection, in the memory of an earlier one's.
func (s *server) protocol(conn thrift.TTransport) *protocol {
	if p, ok := s.protocols.Get().(*protocol); ok {
		p.connect(conn)
		return p
	}
	return newProtocol(conn, thriftConfig())
}

func (s *server) mark(conn thrift.TTransport, state connState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = state
}

func (s *server) drop(conn thrift.TTransport) {
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	_ = conn.Close()
}

// stop waits for every request in flight to be answered, and for all goroutines.
// Listeners must have been closed before. When ctx ends, calls find their own
// context ended, and requests that have not arrived in full are given up. It must
// be called once.
func (s *server) stop(ctx context.Context) {
	defer s.abandon()
	close(s.leaving)
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	s.stopIdle(ctx, done)
	select {
	case <-done:
		return
	default:
	}
	s.abandon()
	s.closeUpTo(connReading)
	<-done
}

// stopIdle closes idle connections, again and again for those that become idle,
// until all are gone or ctx has ended.
func (s *server) stopIdle(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(acceptPause)
	defer tick.Stop()
	for {
		s.closeUpTo(connIdle)
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// closeUpTo closes the connections whose state is at most the given one.
func (s *server) closeUpTo(state connState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, is := range s.conns {
		if is <= state {
			_ = conn.Close()
		}
	}
}
