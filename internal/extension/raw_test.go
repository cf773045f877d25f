package extension_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// extensionSocket is where an extension with this UUID listens.
func extensionSocket(manager string, uuid int64) string { return fmt.Sprintf("%s.%d", manager, uuid) }

// rawClient connects to an extension with thrift's own client.
func rawClient(t *testing.T, path string) *osquery.ExtensionClient {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	trans := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(conn, nil), 4096)
	return osquery.NewExtensionClientFactory(trans, thrift.NewTBinaryProtocolFactoryConf(nil))
}

// shutdown sends osqueryd's shutdown to one extension.
func shutdown(t *testing.T, socket string, uuid int64) {
	t.Helper()
	if err := rawClient(t, extensionSocket(socket, uuid)).Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// head is the start of a call up to the size of its request map.
func head(entries uint32) []byte {
	b := []byte{0x80, 1, 0, 1, 0, 0, 0, 4}
	b = append(b, "call\x00\x00\x00\x07"...)
	b = append(b, 11, 0, 1, 0, 0, 0, 6)
	b = append(b, "logger"...)
	b = append(b, 11, 0, 2, 0, 0, 0, 9)
	b = append(b, "stackjoin"...)
	b = append(b, 13, 0, 3, 11, 11)
	return binary.BigEndian.AppendUint32(b, entries)
}

func size(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// What breaks the protocol ends its own connection, takes no memory that it only
// claims to need, and harms no other call.
func TestHostileBytes(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	run(t, socket, nil)
	activate(t, d)
	uuid, _ := d.UUID()
	tests := map[string][]byte{
		"noise":             bytes.Repeat([]byte{0xa5}, 64),
		"http":              []byte("GET / HTTP/1.1\r\n\r\n"),
		"wrong version":     {0x80, 9, 0, 1},
		"cut short":         head(1)[:20],
		"two billion keys":  head(math.MaxInt32),
		"ten million keys":  head(10_000_000),
		"negative keys":     head(math.MaxUint32),
		"giant claimed key": append(head(1), size(math.MaxInt32)...),
		"negative key":      append(head(1), size(-1)...),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			conn, err := net.Dial("unix", extensionSocket(socket, uuid))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(text); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			// The extension hangs up; whether with a reset does not matter.
			_, _ = io.Copy(io.Discard, conn)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
				t.Errorf("took %d bytes of memory", took)
			}
			if err := d.LogString(t.Context(), "still here"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnknownMethodLeavesTheConnectionUsable(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	run(t, socket, nil)
	activate(t, d)
	uuid, _ := d.UUID()
	client := rawClient(t, extensionSocket(socket, uuid))
	var result osquery.ExtensionPingResult
	if _, err := client.Client_().Call(t.Context(), "dance", osquery.NewExtensionCallArgs(), &result); err == nil {
		t.Error("an unknown method was answered")
	}
	status, err := client.Ping(t.Context())
	if err != nil || status.Code != 0 {
		t.Errorf("ping after an unknown method: %v, %v", status, err)
	}
}
