// Package httpserver serves what a program tells of itself over HTTP: metrics,
// health. Both programs open their port here.
//
// It must never serve anything that changes state: it asks nobody who they are.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Time limits, so that a client that is slow or gone holds no connection for long.
const (
	headerTimeout = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	// maxHeader is more than any scraper sends.
	maxHeader = 64 << 10
	// lastAnswers is how long requests may still be answered once ctx has ended.
	lastAnswers = time.Second
)

// Serve listens on a TCP address and answers with handler until ctx ends; then it
// returns nil within a second, every connection closed. Any other end is an error:
// a port that is taken, an address that is not this host's.
func Serve(ctx context.Context, address string, handler http.Handler, log *slog.Logger) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	log.Info("metrics served", "address", listener.Addr().String())
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		end(server)
	})
	err = server.Serve(listener)
	if !stop() {
		<-ended
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}

// end lets requests be answered that have come, but not for long.
func end(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), lastAnswers)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close()
	}
}
