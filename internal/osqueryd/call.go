package osqueryd

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// socketOf returns the path on which an extension listens.
func (d *Daemon) socketOf(uuid int64) string { return fmt.Sprintf("%s.%d", d.cfg.Socket, uuid) }

// ask connects to an extension, makes one request and hangs up: osqueryd keeps no
// connections. The limit holds for each read and write. When ctx ends, the
// connection is closed, as it is when osqueryd dies.
func (d *Daemon) ask(ctx context.Context, uuid int64, limit time.Duration, request func(*osquery.ExtensionClient) error) error {
	conn, err := net.DialTimeout("unix", d.socketOf(uuid), limit)
	if err != nil {
		return fmt.Errorf("connecting to extension %d: %w", uuid, err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	cfg := &thrift.TConfiguration{SocketTimeout: limit}
	socket := thrift.NewTSocketFromConnConf(conn, cfg)
	defer func() { _ = socket.Close() }()
	protocol := binaryOver(socket, cfg)
	return request(osquery.NewExtensionClientProtocol(protocol.Transport(), protocol, protocol))
}

// ping asks an extension whether it lives.
func (d *Daemon) ping(ctx context.Context, uuid int64) error {
	return d.ask(ctx, uuid, d.cfg.PingTimeout, func(c *osquery.ExtensionClient) error {
		status, err := c.Ping(ctx)
		if err != nil {
			return fmt.Errorf("pinging extension %d: %w", uuid, err)
		}
		if status.Code != 0 {
			return fmt.Errorf("extension %d answered a ping with status %d: %s", uuid, status.Code, status.Message)
		}
		return nil
	})
}

// shutdown asks an extension to leave.
func (d *Daemon) shutdown(ctx context.Context, uuid int64) error {
	return d.ask(ctx, uuid, d.cfg.PingTimeout, func(c *osquery.ExtensionClient) error {
		if err := c.Shutdown(ctx); err != nil {
			return fmt.Errorf("shutting extension %d down: %w", uuid, err)
		}
		return nil
	})
}

// call makes a plugin call the way osqueryd does: a ping on one connection, the
// call on another, never again when one fails. What goes wrong is status 1; the
// response always has a status.
func (d *Daemon) call(ctx context.Context, registry, item string, request osquery.ExtensionPluginRequest) *osquery.ExtensionResponse {
	uuid, ok := d.registry.route(registry, item)
	if !ok {
		return failure("Cannot call registry item: " + item)
	}
	if err := d.ping(ctx, uuid); err != nil {
		return failure("Extension socket not available: " + d.socketOf(uuid))
	}
	var response *osquery.ExtensionResponse
	err := d.ask(ctx, uuid, d.cfg.CallTimeout, func(c *osquery.ExtensionClient) (err error) {
		response, err = c.Call(ctx, registry, item, request)
		return err //nolint:wrapcheck // thrift says what
	})
	if err != nil {
		return failure("Extension call failed: " + err.Error())
	}
	if response.Status == nil {
		response.Status = &osquery.ExtensionStatus{}
	}
	return response
}

// pingAll pings every extension once an interval, until ctx ends. One that fails
// is dropped at once.
func (d *Daemon) pingAll(ctx context.Context) {
	checked := map[int64]bool{}
	for sleep(ctx, d.cfg.Interval) == nil {
		for _, uuid := range d.registry.uuids() {
			if !checked[uuid] {
				d.awaitSocket(ctx, uuid)
				checked[uuid] = true
			}
			if err := d.ping(ctx, uuid); err != nil && ctx.Err() == nil {
				d.log.Info("extension has gone away", "uuid", uuid, "error", err)
				d.registry.remove(uuid)
			}
		}
	}
}

// awaitSocket gives a newly registered extension osqueryd's time to listen.
func (d *Daemon) awaitSocket(ctx context.Context, uuid int64) {
	limit := time.Now().Add(d.cfg.Timeout)
	for !exists(d.socketOf(uuid)) && time.Now().Before(limit) {
		if sleep(ctx, registryPoll) != nil {
			return
		}
	}
}
