// Package osqueryd behaves towards a logger extension as osqueryd 5.23 does: it
// serves the extension manager socket, starts the extension and starts it again,
// pings it, and logs through it with the calls, connections and time limits of
// the real one. Tests and the demo use it, for the real one can not be told what
// to log and when.
//
// It must never be kinder than osqueryd: no call is tried twice, and an answer
// that would end osqueryd is an *ExitError. It runs no query but for its version;
// a table is asked for all it has.
package osqueryd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"
)

// Version is the osquery version that this package imitates.
const Version = "5.23.1"

// exitCatastrophic is osqueryd's exit status when it can not log.
const exitCatastrophic = 78

// Config holds the flags of osqueryd that an extension can tell apart. Unset times
// have osqueryd's defaults.
type Config struct {
	// Socket is the path of the manager socket (--extensions_socket).
	Socket string
	// Logger is the logger plugin to log through (--logger_plugin).
	Logger string
	// Timeout is how long Activate waits for it (--extensions_timeout, 3 s).
	Timeout time.Duration
	// Interval is the time between pings (--extensions_interval, 3 s).
	Interval time.Duration
	// WatcherInterval is the time between looks at the extension's process (3 s).
	WatcherInterval time.Duration
	// PingTimeout bounds a ping (10 s), CallTimeout a call (--thrift_timeout, 300 s).
	PingTimeout time.Duration
	CallTimeout time.Duration
	// DisableLogging is --disable_logging, which osqueryi sets by itself.
	DisableLogging bool
	// NextUUID draws the UUID of a registration. Unset, it is 16 random bits. Calls
	// do not overlap.
	NextUUID func() uint16
	// Extension is the program to start. Without one, extensions start themselves.
	Extension *Extension
	// Log takes what osqueryd would print. Unset, nothing is logged.
	Log *slog.Logger
}

// ExitError is the end that the real osqueryd would have come to.
type ExitError struct {
	Code   int
	Reason string
}

func (e *ExitError) Error() string { return fmt.Sprintf("osqueryd: exit %d: %s", e.Code, e.Reason) }

// exit returns the error of a logging failure.
func exit(format string, args ...any) error {
	return &ExitError{Code: exitCatastrophic, Reason: fmt.Sprintf(format, args...)}
}

// Daemon is a running osqueryd. It is safe for concurrent use.
type Daemon struct {
	cfg      Config
	log      *slog.Logger
	registry *registry
	server   *server
	child    *child // nil without Config.Extension
	stop     context.CancelFunc
	wg       sync.WaitGroup

	mu      sync.Mutex
	answers []Answer
}

// Start opens the manager socket, starts the extension and begins to ping what
// registers. The daemon lives until Shutdown or Kill, one of which must be called.
func Start(cfg Config) (*Daemon, error) {
	cfg = cfg.withDefaults()
	if cfg.Socket == "" || cfg.Logger == "" {
		return nil, errors.New("osqueryd: a socket and a logger plugin are needed")
	}
	d := &Daemon{cfg: cfg, log: cfg.Log, registry: newRegistry(cfg)}
	if err := removeSockets(cfg.Socket); err != nil {
		return nil, err
	}
	server, err := serve(cfg.Socket, osquery.NewExtensionManagerProcessor(d.registry))
	if err != nil {
		return nil, err
	}
	d.server = server
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	if err := d.launch(ctx); err != nil {
		d.Kill()
		return nil, err
	}
	d.wg.Go(func() { d.pingAll(ctx) })
	return d, nil
}

// launch starts the extension's program, if there is one.
func (d *Daemon) launch(ctx context.Context) error {
	if d.cfg.Extension == nil {
		return nil
	}
	d.child = newChild(d.cfg)
	if err := d.child.start(); err != nil {
		return err
	}
	d.wg.Go(func() { d.child.watch(ctx) })
	return nil
}

func (c Config) withDefaults() Config {
	for field, value := range map[*time.Duration]time.Duration{
		&c.Timeout: 3 * time.Second, &c.Interval: 3 * time.Second, &c.WatcherInterval: 3 * time.Second,
		&c.PingTimeout: 10 * time.Second, &c.CallTimeout: 300 * time.Second,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.NextUUID == nil {
		c.NextUUID = func() uint16 { return uint16(rand.Uint32()) }
	}
	return c
}

// Activate waits for the logger plugin as osqueryd does at its start, and sends it
// what comes before the first result: init, features. It returns an *ExitError
// when the plugin has not registered and answered a ping within Config.Timeout.
func (d *Daemon) Activate(ctx context.Context) error {
	limit := time.Now().Add(d.cfg.Timeout)
	for !d.active(ctx) {
		if time.Now().After(limit) {
			return exit("Cannot activate %s logger plugin", d.cfg.Logger)
		}
		if err := sleep(ctx, registryPoll); err != nil {
			return err
		}
	}
	d.Call(ctx, osquery.ExtensionPluginRequest{"init": "osqueryd"})
	d.Call(ctx, osquery.ExtensionPluginRequest{"action": "features"})
	return nil
}

// active tells whether the logger plugin is registered and answers.
func (d *Daemon) active(ctx context.Context) bool {
	uuid, ok := d.registry.route("logger", d.cfg.Logger)
	return ok && d.ping(ctx, uuid) == nil
}

// UUID returns the logger plugin's route, if there is one.
func (d *Daemon) UUID() (int64, bool) { return d.registry.route("logger", d.cfg.Logger) }

// Forget drops every extension, as osqueryd does after one failed ping.
func (d *Daemon) Forget() {
	for _, uuid := range d.registry.uuids() {
		d.registry.remove(uuid)
	}
}

// ForgetLogger drops the extension behind the logger plugin, and no other.
func (d *Daemon) ForgetLogger() {
	if uuid, ok := d.UUID(); ok {
		d.registry.remove(uuid)
	}
}

// Shutdown ends the daemon in osqueryd's way: every extension is asked to shut
// down, the extension's program is waited for until ctx ends and then killed, and
// the socket is closed. It returns an error when the program had to be killed.
func (d *Daemon) Shutdown(ctx context.Context) error {
	d.stop()
	d.wg.Wait()
	for _, uuid := range d.registry.uuids() {
		if err := d.shutdown(ctx, uuid); err != nil {
			d.log.Info("shutdown request failed", "uuid", uuid, "error", err)
		}
	}
	var err error
	if d.child != nil {
		err = d.child.wait(ctx)
	}
	d.server.close()
	return errors.Join(err, removeSockets(d.cfg.Socket))
}

// Kill ends the daemon as SIGKILL ends osqueryd's worker and watcher: nothing is
// said to extensions, whose program lives on until it notices. The socket's file
// stays, with nobody behind it.
func (d *Daemon) Kill() {
	d.stop()
	d.wg.Wait()
	d.server.abandon()
}

// sleep waits for a time or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exists tells whether there is a file of this name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
