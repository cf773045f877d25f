package osqueryd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

// connBuffer is the size of a connection's buffers.
const connBuffer = 64 << 10

// server serves a thrift processor on a Unix socket, a goroutine per connection.
type server struct {
	listener  *net.UnixListener
	processor thrift.TProcessor

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// serve listens on path, which only this user may connect to.
func serve(path string, p thrift.TProcessor) (*server, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("osqueryd: opening the manager socket: %w", err)
	}
	s := &server{listener: l, processor: p, conns: map[net.Conn]struct{}{}}
	s.wg.Go(s.accept)
	return s, nil
}

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		if !s.keep(conn) {
			_ = conn.Close()
			return
		}
		s.wg.Go(func() { s.process(conn) })
	}
}

// keep notes a connection, unless the server has been closed.
func (s *server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[conn] = struct{}{}
	}
	return !s.closed
}

// process answers a connection's requests until it ends.
func (s *server) process(conn net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
		_ = conn.Close()
	}()
	protocol := binaryOver(thrift.NewTSocketFromConnConf(conn, nil), nil)
	for {
		more, err := s.processor.Process(context.Background(), protocol, protocol)
		if err != nil || !more {
			return
		}
	}
}

// close takes no more connections, ends those it has and removes the socket.
func (s *server) close() {
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	_ = s.listener.Close()
	s.wg.Wait()
}

// abandon closes but leaves the socket's file behind.
func (s *server) abandon() {
	s.listener.SetUnlinkOnClose(false)
	s.close()
}

// binaryOver puts buffers and the binary protocol on a transport. A nil cfg means
// thrift's defaults.
func binaryOver(t thrift.TTransport, cfg *thrift.TConfiguration) *thrift.TBinaryProtocol {
	if cfg == nil {
		cfg = &thrift.TConfiguration{}
	}
	return thrift.NewTBinaryProtocolConf(thrift.NewTBufferedTransport(t, connBuffer), cfg)
}

// removeSockets removes the manager socket and those of extensions, as osqueryd
// does before it listens and after it has stopped.
func removeSockets(manager string) error {
	stale, err := filepath.Glob(manager + ".*")
	if err != nil {
		return fmt.Errorf("osqueryd: looking for stale sockets: %w", err)
	}
	for _, path := range append(stale, manager) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("osqueryd: removing a stale socket: %w", err)
		}
	}
	return nil
}
