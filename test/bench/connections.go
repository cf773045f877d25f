package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// A quiet host: one batch a minute. The gap between ours is over the 30 s after
// which clients close idle connections by default, and less than a minute to save
// time.
const (
	batchGap      = 35 * time.Second
	barOpen       = 3
	barHandshakes = 6 // an hour
)

// connections counts what a quiet host costs a broker with TLS.
func (b *bench) connections(ctx context.Context) error {
	batches := 2
	if b.long {
		batches = 6
	}
	var count counter
	ca := filepath.Join(b.dir, "ca.pem")
	config, err := selfSigned(ca)
	if err != nil {
		return err
	}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { count.handshakes.Add(1); return nil, nil } //nolint:nilnil // that is: go on
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, loggertest.Topics()...), kfake.TLS(config), kfake.ListenFn(count.listen))
	if err != nil {
		return fmt.Errorf("kfake: %w", err)
	}
	defer cluster.Close()
	addr := cluster.ListenAddrs()[0]
	kafka := fmt.Sprintf("brokers: [%s], tls: {enabled: true, ca_file: %s}", addr, ca)
	return b.hostOn(ctx, b.program, kafka, "", func(h *loggertest.Host) error {
		first := int64(0)
		for i := range batches {
			if i > 0 {
				if err := sleep(ctx, batchGap); err != nil {
					return err
				}
			}
			if err := h.LogString(ctx, loggertest.NewRows(1).Call(rowsPerCall)); err != nil {
				return err //nolint:wrapcheck // it says what
			}
			for cluster.PartitionInfo(resultsTopic, 0).HighWatermark < int64(i+1)*rowsPerCall {
				if err := sleep(ctx, 50*time.Millisecond); err != nil {
					return err
				}
			}
			if i == 0 {
				first = count.handshakes.Load()
			}
		}
		open, later := count.open.Load(), count.handshakes.Load()-first
		hour := float64(first) + 59*float64(later)/float64(batches-1)
		b.table.atMost("a batch a minute, TLS: open connections", fmt.Sprintf("%d", open), float64(open), barOpen)
		b.table.atMost("a batch a minute, TLS: handshakes an hour", fmt.Sprintf("%.0f: %d at first, %d for %d batches %v apart",
			hour, first, later, batches-1, batchGap), hour, barHandshakes)
		return nil
	})
}

// counter counts connections and handshakes.
type counter struct{ open, handshakes atomic.Int64 }

func (c *counter) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address) //nolint:noctx // kfake's signature has no context
	return &countingListener{l, c}, err
}

type countingListener struct {
	net.Listener
	count *counter
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // a listener's own error
	}
	l.count.open.Add(1)
	return &countedConn{Conn: c, count: l.count}, nil
}

type countedConn struct {
	net.Conn
	count  *counter
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.count.open.Add(-1)
	}
	return c.Conn.Close() //nolint:wrapcheck // a connection's own error
}

// selfSigned makes a certificate for this machine and writes it to path as PEM.
func selfSigned(path string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, nil
}
