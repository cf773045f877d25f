package extension

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"
)

// requestTimeout bounds one request to osqueryd. A busy osqueryd takes seconds to
// answer; giving up costs nothing but another try.
const requestTimeout = 10 * time.Second

// manager asks things of osqueryd's extension manager. Each request has its own
// connection, so that a restarted osqueryd is found at once.
type manager struct {
	socket string
}

// refusedError is a request that osqueryd understood and did not grant.
type refusedError struct {
	code    int32
	message string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("osqueryd refused with status %d: %s", e.code, e.message)
}

// ask connects, makes one request and hangs up. When ctx ends the connection is
// closed and the request fails.
func (m manager) ask(ctx context.Context, request func(context.Context, *osquery.ExtensionManagerClient) error) error {
	conn, err := dial(m.socket, requestTimeout)
	if err != nil {
		return fmt.Errorf("connecting to osqueryd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if release() {
			_ = conn.Close()
		}
	}()
	p := newProtocol(conn, thriftConfig())
	return request(ctx, osquery.NewExtensionManagerClientProtocol(p.in, p, p))
}

// reach connects and hangs up.
func (m manager) reach() error {
	conn, err := dial(m.socket, requestTimeout)
	if err != nil {
		return fmt.Errorf("connecting to osqueryd: %w", err)
	}
	_ = conn.Close()
	return nil
}

// duplicate is what osqueryd says of an extension whose name it still has.
const duplicate = "Duplicate extension registered"

// refusesMore tells whether err is a refusal that may be about a plugin rather
// than about the extension as such.
func refusesMore(err error) bool {
	var refused *refusedError
	return errors.As(err, &refused) && refused.message != duplicate
}

// register asks for a UUID for the logger plugin, and for a table where there is
// one. The error wraps a *refusedError where osqueryd said no.
func (m manager) register(ctx context.Context, cfg Config) (uuid int64, err error) {
	info := &osquery.InternalExtensionInfo{Name: cfg.Name, Version: cfg.Version, SdkVersion: cfg.SDKVersion}
	registry := osquery.ExtensionRegistry{
		"logger": {cfg.Name: osquery.ExtensionPluginResponse{}},
	}
	if cfg.Table != nil {
		registry["table"] = osquery.ExtensionRouteTable{cfg.Table.Name: cfg.Table.routes()}
	}
	err = m.ask(ctx, func(ctx context.Context, c *osquery.ExtensionManagerClient) error {
		status, err := c.RegisterExtension(ctx, info, registry)
		if err != nil {
			return fmt.Errorf("registering: %w", err)
		}
		uuid = int64(status.UUID)
		return granted("registering", status)
	})
	return uuid, err
}

// deregister gives a UUID back.
func (m manager) deregister(ctx context.Context, uuid int64) error {
	return m.ask(ctx, func(ctx context.Context, c *osquery.ExtensionManagerClient) error {
		status, err := c.DeregisterExtension(ctx, osquery.ExtensionRouteUUID(uuid))
		if err != nil {
			return fmt.Errorf("deregistering: %w", err)
		}
		return granted("deregistering", status)
	})
}

// registered tells whether osqueryd has a route to the named extension under uuid.
func (m manager) registered(ctx context.Context, name string, uuid int64) (known bool, err error) {
	err = m.ask(ctx, func(ctx context.Context, c *osquery.ExtensionManagerClient) error {
		list, err := c.Extensions(ctx)
		if err != nil {
			return fmt.Errorf("asking for the registered extensions: %w", err)
		}
		info, ok := list[osquery.ExtensionRouteUUID(uuid)]
		known = ok && info != nil && info.Name == name
		return nil
	})
	return known, err
}

// granted turns a status that is not a success into an error.
func granted(doing string, status *osquery.ExtensionStatus) error {
	if status.Code == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, &refusedError{code: status.Code, message: status.Message})
}
