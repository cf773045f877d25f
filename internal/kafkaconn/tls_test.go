package kafkaconn_test

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkaconn"
)

func TestTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	cluster := newCluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ours.pair(t, "broker")}, MinVersion: tls.VersionTLS12}))
	dir := t.TempDir()
	good, bad := write(t, dir, "ours.pem", ours.pem), write(t, dir, "other.pem", other.pem)
	for name, c := range map[string]struct {
		tls  kafkaconn.TLS
		want string // of the error
	}{
		"authority":           {kafkaconn.TLS{Enabled: true, CAFile: good}, ""},
		"server name":         {kafkaconn.TLS{Enabled: true, CAFile: good, ServerName: "broker.test"}, ""},
		"not verified":        {kafkaconn.TLS{Enabled: true, InsecureSkipVerify: true}, ""},
		"other authority":     {kafkaconn.TLS{Enabled: true, CAFile: bad}, "unknown authority"},
		"system's authority":  {kafkaconn.TLS{Enabled: true}, "unknown authority"},
		"other name":          {kafkaconn.TLS{Enabled: true, CAFile: good, ServerName: "else.test"}, "else.test"},
		"no file":             {kafkaconn.TLS{Enabled: true, CAFile: good + ".not"}, good + ".not"},
		"no certificate file": {kafkaconn.TLS{Enabled: true, CAFile: good, CertFile: bad + ".not", KeyFile: bad}, bad + ".not"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, kafkaconn.Config{Brokers: cluster.ListenAddrs(), TLS: c.tls}, slog.New(slog.DiscardHandler))
			err := ping(t, client)
			if c.want == "" && err != nil {
				t.Error(err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestMissingFileFailsTheDialOnly makes the client before the file is there.
func TestMissingFileFailsTheDialOnly(t *testing.T) {
	ours, dir := newAuthority(t), t.TempDir()
	cluster := newCluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ours.pair(t, "broker")}, MinVersion: tls.VersionTLS12}))
	c := kafkaconn.Config{Brokers: cluster.ListenAddrs(), TLS: kafkaconn.TLS{Enabled: true, CAFile: dir + "/ca.pem"}}
	client := newClient(t, c, slog.New(slog.DiscardHandler))
	if err := ping(t, client); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
	write(t, dir, "ca.pem", ours.pem)
	if err := ping(t, client); err != nil {
		t.Errorf("with the file there: %v", err)
	}
}

// names records the client certificates that a listener saw.
type names struct {
	mu   sync.Mutex
	seen []string
}

func (n *names) verify(state tls.ConnectionState) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, state.PeerCertificates[0].Subject.CommonName)
	return nil
}

func (n *names) saw(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.seen, name)
}

// TestClientCertificateRotates replaces the files under a client that is connected; its
// next connection must show the new certificate.
func TestClientCertificateRotates(t *testing.T) {
	ours, dir, seen := newAuthority(t), t.TempDir(), &names{}
	cluster := newCluster(t, kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{ours.pair(t, "broker")}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool(), VerifyConnection: seen.verify,
	}))
	install := func(name string) (string, string) {
		certificate, key := ours.issue(t, name)
		return write(t, dir, "client.pem", certificate), write(t, dir, "client.key", key)
	}
	certFile, keyFile := install("first")
	c := kafkaconn.Config{Brokers: cluster.ListenAddrs(), TLS: kafkaconn.TLS{
		Enabled: true, CAFile: write(t, dir, "ca.pem", ours.pem), CertFile: certFile, KeyFile: keyFile,
	}}
	client := newClient(t, c, slog.New(slog.DiscardHandler))
	if err := ping(t, client); err != nil || !seen.saw("first") || seen.saw("second") {
		t.Fatalf("error %v, saw %v", err, seen.seen)
	}
	install("second")
	for deadline := time.Now().Add(20 * time.Second); !seen.saw("second"); {
		if time.Now().After(deadline) {
			t.Fatal("no connection shows the second certificate")
		}
		cluster.ControlKey(int16(kmsg.ApiVersions), drop)
		cluster.ControlKey(int16(kmsg.Metadata), drop)
		_ = ping(t, client) // fails while the broker drops connections
	}
	c.TLS.CertFile, c.TLS.KeyFile = "", ""
	if err := ping(t, newClient(t, c, slog.New(slog.DiscardHandler))); err == nil {
		t.Error("connected without a certificate")
	}
}

// drop makes the broker close the connection that a request came on.
func drop(kmsg.Request) (kmsg.Response, error, bool) {
	return nil, errors.New("dropped"), true
}
