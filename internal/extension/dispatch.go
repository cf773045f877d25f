package extension

import (
	"context"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// structure is what thrift generates for arguments and results.
type structure interface {
	Read(ctx context.Context, in thrift.TProtocol) error
	Write(ctx context.Context, out thrift.TProtocol) error
}

// message is the head of a request, repeated in its answer.
type message struct {
	name string
	seq  int32
}

// answer reads one request and answers it. An error means that the connection can
// not be used any more.
//
// The generated processor is not used for it starts a goroutine per call that
// polls the connection 200 times a second, in a process that may have a hundredth
// of a core.
func (s *server) answer(conn thrift.TTransport, p *protocol) error {
	name, _, seq, err := p.ReadMessageBegin(s.ctx)
	if err != nil {
		return fmt.Errorf("reading a request's head: %w", err)
	}
	m := message{name: name, seq: seq}
	switch name {
	case "ping":
		return s.ping(conn, p, m)
	case "call":
		return s.call(conn, p, m)
	case "shutdown":
		return s.shutdown(conn, p, m)
	default:
		return s.unknownMethod(p, m)
	}
}

func (s *server) ping(conn thrift.TTransport, p *protocol, m message) error {
	if err := s.arguments(conn, p, m, osquery.NewExtensionPingArgs()); err != nil {
		return err
	}
	return s.reply(p, m, &osquery.ExtensionPingResult{Success: &osquery.ExtensionStatus{Message: "OK"}})
}

func (s *server) call(conn thrift.TTransport, p *protocol, m message) error {
	args := osquery.NewExtensionCallArgs()
	if err := s.arguments(conn, p, m, args); err != nil {
		return err
	}
	response, finished := s.plugin.call(s.ctx, args)
	p.release(finished)
	return s.reply(p, m, &osquery.ExtensionCallResult{Success: response})
}

func (s *server) shutdown(conn thrift.TTransport, p *protocol, m message) error {
	if err := s.arguments(conn, p, m, osquery.NewExtensionShutdownArgs()); err != nil {
		return err
	}
	// osqueryd waits for the answer, so it goes first.
	defer s.plugin.shutdown()
	return s.reply(p, m, osquery.NewExtensionShutdownResult())
}

// unknownMethod answers a method that the Extension service does not have.
func (s *server) unknownMethod(p *protocol, m message) error {
	if err := p.Skip(s.ctx, thrift.STRUCT); err != nil {
		return fmt.Errorf("skipping the arguments of method %q: %w", m.name, err)
	}
	if err := p.WriteMessageBegin(s.ctx, m.name, thrift.EXCEPTION, m.seq); err != nil {
		return fmt.Errorf("refusing method %q: %w", m.name, err)
	}
	x := thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "Unknown function "+m.name)
	if err := x.Write(s.ctx, p); err != nil {
		return fmt.Errorf("refusing method %q: %w", m.name, err)
	}
	return s.flush(p, m)
}

// arguments reads a request's arguments. From then on a stop waits for its answer.
func (s *server) arguments(conn thrift.TTransport, p *protocol, m message, into structure) error {
	if err := into.Read(s.ctx, p); err != nil {
		return fmt.Errorf("reading the arguments of %s: %w", m.name, err)
	}
	if err := p.ReadMessageEnd(s.ctx); err != nil {
		return fmt.Errorf("reading the end of %s: %w", m.name, err)
	}
	s.mark(conn, connBusy)
	return nil
}

func (s *server) reply(p *protocol, m message, result structure) error {
	if err := p.WriteMessageBegin(s.ctx, m.name, thrift.REPLY, m.seq); err != nil {
		return fmt.Errorf("answering %s: %w", m.name, err)
	}
	if err := result.Write(s.ctx, p); err != nil {
		return fmt.Errorf("answering %s: %w", m.name, err)
	}
	return s.flush(p, m)
}

func (s *server) flush(p *protocol, m message) error {
	if err := p.WriteMessageEnd(s.ctx); err != nil {
		return fmt.Errorf("ending the answer to %s: %w", m.name, err)
	}
	if err := p.Flush(s.ctx); err != nil {
		return fmt.Errorf("sending the answer to %s: %w", m.name, err)
	}
	return nil
}
