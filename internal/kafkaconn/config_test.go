package kafkaconn_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/kafkaconn"
)

func TestDefaults(t *testing.T) {
	var got kafkaconn.Config
	if err := config.Parse("f", nil, &got, nil); err != nil {
		t.Fatal(err)
	}
	want := kafkaconn.Config{Brokers: []string{"127.0.0.1:9092"}, ClientID: "stackjoin", SASL: kafkaconn.SASL{Mechanism: kafkaconn.None}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

const everything = `
brokers: ${BROKERS:-[::1]:9092,b.example.com:9094}
client_id: me
tls: {enabled: true, ca_file: a, cert_file: b, key_file: c, server_name: d}
sasl:
  mechanism: aws-msk-iam
  msk: {region: e, access_key: f, secret_key: tiger, session_token: tiger}
`

func TestParse(t *testing.T) {
	var got kafkaconn.Config
	if err := config.Parse("f", []byte(everything), &got, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"[::1]:9092", "b.example.com:9094"}; !reflect.DeepEqual(got.Brokers, want) || got.SASL.MSK.SecretKey.Reveal() != "tiger" {
		t.Errorf("got %+v", got)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	hides(t, fmt.Sprintf("%v %+v %#v %s", got, got, got, text), "tiger")
}

// TestValidate holds the exact lines for mistakes in a file.
func TestValidate(t *testing.T) {
	for text, want := range map[string]string{
		"brokers: []": "f:1: brokers: at least one host:port is needed",
		"brokers:\n- a:1\n- b\n- :3\n- c:0\n- d:70000": `f:3: brokers[1]: "b" is not host:port` + "\n" + `f:4: brokers[2]: ":3" is not host:port` + "\n" +
			`f:5: brokers[3]: "c:0" is not host:port` + "\n" + `f:6: brokers[4]: "d:70000" is not host:port`,
		"tls: {enabled: true, cert_file: a}":                              "f:1: tls: cert_file and key_file go together",
		"tls: {ca_file: a}":                                               "f:1: tls.enabled: must be true for the other settings of tls to have an effect",
		"tls: {enabled: true, ca_file: a, insecure_skip_verify: true}":    "f:1: tls.insecure_skip_verify: contradicts ca_file: nothing is verified",
		"sasl: {mechanism: plian}":                                        `f:1: sasl.mechanism: expected one of none, plain, scram-sha-256, scram-sha-512, oauthbearer, aws-msk-iam, got "plian", did you mean "plain"`,
		"sasl: {mechanism: plain}":                                        "f:1: sasl.password: needed for plain, or password_file\nf:1: sasl.username: needed for plain",
		"sasl:\n  password: tiger":                                        "f:1: sasl.mechanism: must be plain or scram for username and password to have an effect",
		"sasl:\n  oauth: {extensions: {a: b}}":                            "f:1: sasl.mechanism: must be oauthbearer for the settings of oauth to have an effect",
		"sasl:\n  msk: {region: a}":                                       "f:1: sasl.mechanism: must be aws-msk-iam for the settings of msk to have an effect",
		"sasl: {mechanism: oauthbearer}":                                  "f:1: sasl.oauth: needs token, token_file or token_url",
		"sasl: {mechanism: oauthbearer, oauth: {token: t, client_id: a}}": "f:1: sasl.oauth.token_url: needed for the client and scopes to have an effect",
		"sasl: {mechanism: oauthbearer, oauth: {token: t, token_url: a}}": "f:1: sasl.oauth: has both a token and token_url",
		"sasl: {mechanism: oauthbearer, oauth: {token_url: \"http://u:tiger@x\"}}": "f:1: sasl.oauth.client_id: needed with token_url\n" +
			"f:1: sasl.oauth.client_secret: needed with token_url, or client_secret_file\n" +
			"f:1: sasl.oauth.token_url: must be an https address without user and password",
		"sasl: {mechanism: aws-msk-iam}":                                                "f: tls.enabled: aws-msk-iam needs TLS",
		"tls: {enabled: true}\nsasl: {mechanism: aws-msk-iam, msk: {access_key: a}}":    "f:2: sasl.msk.secret_key: needed with access_key, or secret_key_file",
		"tls: {enabled: true}\nsasl: {mechanism: aws-msk-iam, msk: {session_token: a}}": "f:2: sasl.msk.access_key: needed with secret_key and session_token",
	} {
		err := config.Parse("f", []byte(text), &kafkaconn.Config{}, nil)
		if err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestOptionsRefuse(t *testing.T) {
	options, err := kafkaconn.Config{SASL: kafkaconn.SASL{Mechanism: "else", Password: "tiger"}}.Options(slog.New(slog.DiscardHandler))
	if err == nil || options != nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"kafka: brokers: at least one", "kafka: sasl.mechanism: unknown"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	hides(t, err.Error(), "tiger")
}

func TestOptionsWarnOfDangers(t *testing.T) {
	for want, c := range map[string]kafkaconn.Config{
		"not verified": {Brokers: []string{"a:1"}, TLS: kafkaconn.TLS{Enabled: true, InsecureSkipVerify: true}},
		"in clear":     {Brokers: []string{"a:1"}, SASL: kafkaconn.SASL{Mechanism: kafkaconn.Plain, Username: "u", Password: "tiger"}},
	} {
		log := &lines{}
		if _, err := c.Options(log.logger(slog.LevelWarn)); err != nil || !strings.Contains(log.String(), want) {
			t.Errorf("error %v, log %q", err, log)
		}
		hides(t, log.String(), "tiger")
	}
}

// TestClientID asks franz-go what it took.
func TestClientID(t *testing.T) {
	client := newClient(t, kafkaconn.Config{Brokers: []string{"a:1"}, ClientID: "me"}, slog.New(slog.DiscardHandler))
	if got := client.OptValue(kgo.ClientID); got != "me" {
		t.Errorf("got %v", got)
	}
}

// TestLevels holds which of franz-go's lines a log of some level gets.
func TestLevels(t *testing.T) {
	for level, want := range map[slog.Level]kgo.LogLevel{
		slog.LevelError + 1: kgo.LogLevelNone, slog.LevelError: kgo.LogLevelError, slog.LevelWarn: kgo.LogLevelWarn,
		slog.LevelInfo: kgo.LogLevelWarn, slog.LevelDebug: kgo.LogLevelInfo, kafkaconn.LevelTrace: kgo.LogLevelDebug,
	} {
		log := &lines{}
		client := newClient(t, kafkaconn.Config{Brokers: []string{"a:1"}}, log.logger(level))
		bridge, ok := client.OptValue(kgo.WithLogger).(kgo.Logger)
		if !ok || bridge.Level() != want {
			t.Fatalf("%v: %T", level, bridge)
		}
		bridge.Log(want, "hello", "a", 1)
		if got := strings.Contains(log.String(), "msg=hello a=1"); got != (want != kgo.LogLevelNone) {
			t.Errorf("%v: log %q", level, log)
		}
	}
}

// TestDocument proves that every key has a sentence and every default fits.
func TestDocument(t *testing.T) {
	var out strings.Builder
	if err := config.Document(&out, "Kafka", kafkaconn.Config{}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"| `brokers` | list of text | `127.0.0.1:9092` |", "| `sasl.msk.secret_key` | secret |", "Danger"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in %s", part, out.String())
		}
	}
}
