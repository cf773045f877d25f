package kafkaconn_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/internal/kafkaconn"
)

// desk answers SASL for a fake broker that does not know the mechanism itself, and keeps
// the last message that it got.
type desk struct {
	mechanism, answer string

	mu   sync.Mutex
	last string
}

func (d *desk) serve(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response, ok := request.ResponseKind().(*kmsg.SASLHandshakeResponse)
		if ok && request.(*kmsg.SASLHandshakeRequest).Mechanism != d.mechanism {
			response.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return response, nil, ok
	})
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response, ok := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if ok {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.last = string(request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
			response.SASLAuthBytes = []byte(d.answer)
		}
		return response, nil, ok
	})
}

func (d *desk) got() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

func TestOAuthBearerOnTheWire(t *testing.T) {
	cluster, d := newCluster(t), &desk{mechanism: "OAUTHBEARER"}
	d.serve(cluster)
	dir := t.TempDir()
	file := write(t, dir, "token", []byte("from-file\n"))
	log := &lines{}
	for want, c := range map[string]kafkaconn.OAuth{
		"n,,\x01auth=Bearer given\x01\x01":               {Token: "given"},
		"n,,\x01auth=Bearer from-file\x01\x01":           {Token: "given", TokenFile: file},
		"n,,\x01auth=Bearer given\x01a=b\x01c=d\x01\x01": {Token: "given", Extensions: map[string]string{"c": "d", "a": "b"}},
	} {
		client := newClient(t, kafkaconn.Config{
			Brokers: cluster.ListenAddrs(), SASL: kafkaconn.SASL{Mechanism: kafkaconn.OAuthBearer, OAuth: c},
		}, log.logger(kafkaconn.LevelTrace))
		if err := ping(t, client); err != nil || d.got() != want {
			t.Errorf("sent %q, want %q, error %v", d.got(), want, err)
		}
	}
	hides(t, log.String(), "given", "from-file")
}

// provider is a token endpoint with one client.
func provider(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		form, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || id != "me" || secret != "ti%2Fger" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"`+secret+`"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": "token-for-" + string(form)})
	}))
	t.Cleanup(server.Close)
	return server
}

func TestClientCredentialsGrant(t *testing.T) {
	cluster, d, server := newCluster(t), &desk{mechanism: "OAUTHBEARER"}, provider(t)
	d.serve(cluster)
	dir, log := t.TempDir(), &lines{}
	file := write(t, dir, "secret", []byte("wrong-tiger"))
	client := newClient(t, kafkaconn.Config{
		Brokers: cluster.ListenAddrs(), SASL: kafkaconn.SASL{Mechanism: kafkaconn.OAuthBearer, OAuth: kafkaconn.OAuth{
			TokenURL: server.URL, ClientID: "me", ClientSecretFile: file, Scopes: []string{"a", "b"},
		}},
	}, log.logger(kafkaconn.LevelTrace))
	err := ping(t, client)
	if err == nil || !strings.Contains(err.Error(), server.URL+": refused with status 401: invalid_client") {
		t.Fatalf("error %v", err)
	}
	hides(t, err.Error(), "tiger")
	write(t, dir, "secret", []byte("ti/ger"))
	want := "n,,\x01auth=Bearer token-for-grant_type=client_credentials&scope=a+b\x01\x01"
	if err := ping(t, client); err != nil || d.got() != want {
		t.Errorf("sent %q, error %v", d.got(), err)
	}
	hides(t, log.String(), "tiger", "ti/ger", "token-for")
}

// TestGrantFollowsNoRedirect keeps the secret for the configured address.
func TestGrantFollowsNoRedirect(t *testing.T) {
	cluster := newCluster(t)
	(&desk{mechanism: "OAUTHBEARER"}).serve(cluster)
	server := httptest.NewServer(http.RedirectHandler(provider(t).URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	err := ping(t, newClient(t, kafkaconn.Config{
		Brokers: cluster.ListenAddrs(), SASL: kafkaconn.SASL{Mechanism: kafkaconn.OAuthBearer, OAuth: kafkaconn.OAuth{
			TokenURL: server.URL, ClientID: "me", ClientSecret: "ti/ger",
		}},
	}, slog.New(slog.DiscardHandler)))
	if err == nil || !strings.Contains(err.Error(), "refused with status 307") {
		t.Errorf("error %v", err)
	}
}

func TestMSKOnTheWire(t *testing.T) {
	ours := newAuthority(t)
	cluster := newCluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ours.pair(t, "broker")}, MinVersion: tls.VersionTLS12}))
	d := &desk{mechanism: "AWS_MSK_IAM", answer: `{"version":"2020_10_22"}`}
	d.serve(cluster)
	log := &lines{}
	client := newClient(t, kafkaconn.Config{
		Brokers: cluster.ListenAddrs(),
		TLS:     kafkaconn.TLS{Enabled: true, CAFile: write(t, t.TempDir(), "ca.pem", ours.pem)},
		SASL: kafkaconn.SASL{Mechanism: kafkaconn.AWSMSKIAM, MSK: kafkaconn.MSK{
			Region: "eu-west-1", AccessKey: "AKEXAMPLE", SecretKey: "tiger", SessionToken: "lion",
		}},
	}, log.logger(kafkaconn.LevelTrace))
	if err := ping(t, client); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"host":"127.0.0.1"`, `"action":"kafka-cluster:Connect"`, `AKEXAMPLE/`, `/eu-west-1/kafka-cluster/aws4_request`} {
		if !strings.Contains(d.got(), part) {
			t.Errorf("%s is not in %s", part, d.got())
		}
	}
	hides(t, d.got(), "tiger")
	hides(t, log.String(), "tiger", "lion")
}
