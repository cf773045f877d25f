//go:build !windows

package extension

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// encoded returns a call as thrift's own client would send it.
func encoded(t testing.TB, request osquery.ExtensionPluginRequest) []byte {
	t.Helper()
	buffer := thrift.NewTMemoryBuffer()
	out := thrift.NewTBinaryProtocolConf(buffer, &thrift.TConfiguration{})
	ctx := context.Background()
	args := &osquery.ExtensionCallArgs{Registry: "logger", Item: "stackjoin", Request: request}
	for _, err := range []error{
		out.WriteMessageBegin(ctx, "call", thrift.CALL, 1), args.Write(ctx, out), out.WriteMessageEnd(ctx), out.Flush(ctx),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return buffer.Bytes()
}

// FuzzAnswer feeds any bytes to a connection: nothing may panic, and every payload
// that is accepted must have been sent.
func FuzzAnswer(f *testing.F) {
	f.Add(encoded(f, osquery.ExtensionPluginRequest{"string": "{}", "category": "event"}))
	f.Add(encoded(f, osquery.ExtensionPluginRequest{"status": "true", "log": "[\xff]"}))
	f.Add(append(encoded(f, nil), encoded(f, osquery.ExtensionPluginRequest{"snapshot": string(make([]byte, 2<<10))})...))
	f.Add([]byte("\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x00"))
	f.Add([]byte("\x80\x01\x00\x01\x00\x00\x00\x05dance\x00\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		cfg, err := Config{Socket: "em", Accept: func(_ context.Context, c Call) error {
			if c.Type != TypeUnknown && !bytes.Contains(sent, c.Payload) {
				t.Errorf("accepted %q, which was not sent", c.Payload)
			}
			return nil
		}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(newPlugin(cfg, func() {}), slog.New(slog.DiscardHandler))
		defer s.stop(t.Context())
		// Reads and writes go to two buffers, as on a socket.
		conn := &duplex{TMemoryBuffer: thrift.NewTMemoryBuffer(), in: bytes.NewReader(sent)}
		defer s.drop(conn)
		p := newProtocol(conn, thriftConfig())
		for s.answer(conn, p) == nil {
		}
	})
}

// duplex reads from one place and writes to another.
type duplex struct {
	*thrift.TMemoryBuffer
	in *bytes.Reader
}

func (d *duplex) Read(b []byte) (int, error) { return d.in.Read(b) }

func TestAnswersAreThrifts(t *testing.T) {
	s, _ := testServer(t)
	defer s.stop(t.Context())
	conn := &duplex{TMemoryBuffer: thrift.NewTMemoryBuffer(), in: bytes.NewReader(encoded(t, osquery.ExtensionPluginRequest{"action": "features"}))}
	defer s.drop(conn)
	if err := s.answer(conn, newProtocol(conn, thriftConfig())); err != nil {
		t.Fatal(err)
	}
	in := thrift.NewTBinaryProtocolConf(conn.TMemoryBuffer, &thrift.TConfiguration{})
	name, kind, seq, err := in.ReadMessageBegin(t.Context())
	if err != nil || name != "call" || kind != thrift.REPLY || seq != 1 {
		t.Fatalf("answer's head: %q %d %d, %v", name, kind, seq, err)
	}
	var result osquery.ExtensionCallResult
	if err := result.Read(t.Context(), in); err != nil || result.Success.Status.Code != wantStatus {
		t.Errorf("answer %v, %v", result.Success, err)
	}
}
