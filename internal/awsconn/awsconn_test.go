package awsconn_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/stackjoin/stackjoin/internal/awsconn"
	"github.com/stackjoin/stackjoin/internal/config"
)

// alone takes this machine's own AWS identity away.
func alone(t *testing.T) {
	t.Helper()
	for _, line := range os.Environ() {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_CONFIG_FILE", write(t, "config", ""))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", write(t, "credentials", ""))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func retrieve(t *testing.T, c awsconn.Config) (aws.Config, aws.Credentials) {
	t.Helper()
	loaded, err := c.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := loaded.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return loaded, keys
}

func TestKeysOfTheFileAreReadAtEachLoad(t *testing.T) {
	alone(t)
	secret := write(t, "secret", "first\n")
	c := awsconn.Config{Region: "eu-west-1", AccessKey: "id", SecretKeyFile: secret, SessionToken: "token"}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(secret, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, keys := retrieve(t, c)
		if keys.AccessKeyID != "id" || keys.SecretAccessKey != want || keys.SessionToken != "token" || loaded.Region != "eu-west-1" {
			t.Errorf("%s in %s, want %s", keys.SecretAccessKey, loaded.Region, want)
		}
	}
}

func TestAProfileSaysWho(t *testing.T) {
	alone(t)
	t.Setenv("AWS_CONFIG_FILE", write(t, "config", "[profile ship]\nregion = eu-north-1\n"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", write(t, "credentials", "[ship]\naws_access_key_id = who\naws_secret_access_key = s\n"))
	loaded, keys := retrieve(t, awsconn.Config{Profile: "ship"})
	if keys.AccessKeyID != "who" || loaded.Region != "eu-north-1" {
		t.Errorf("%s in %s", keys.AccessKeyID, loaded.Region)
	}
	if _, err := (awsconn.Config{Region: "r", Profile: "other"}).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("a profile that is not there: %v", err)
	}
}

func TestWithoutARegionNothingIsGuessed(t *testing.T) {
	alone(t)
	if _, err := (awsconn.Config{AccessKey: "a", SecretKey: "b"}).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "no region") {
		t.Errorf("got %v", err)
	}
}

// sts answers as the Security Token Service does, with the name of what was asked
// as the key.
func sts(t *testing.T) (address string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		mu.Lock()
		all = append(all, r.Form.Encode())
		mu.Unlock()
		action := r.Form.Get("Action")
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(`<` + action + `Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><` + action + `Result><Credentials>` +
			`<AccessKeyId>` + action + `</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>` +
			`<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></` + action + `Result></` + action + `Response>`))
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestARoleIsTakenOn(t *testing.T) {
	alone(t)
	address, asked := sts(t)
	t.Setenv("AWS_ENDPOINT_URL_STS", address)
	role := awsconn.Role{ARN: "arn:aws:iam::123456789012:role/ship", ExternalID: "ours", SessionName: "stackjoin"}
	if _, keys := retrieve(t, awsconn.Config{Region: "eu-west-1", AccessKey: "a", SecretKey: "b", AssumeRole: role}); keys.AccessKeyID != "AssumeRole" {
		t.Errorf("the identity is %s", keys.AccessKeyID)
	}
	role = awsconn.Role{ARN: role.ARN, SessionName: "stackjoin", WebIdentityFile: write(t, "token", "oidc-token")}
	if _, keys := retrieve(t, awsconn.Config{Region: "eu-west-1", AssumeRole: role}); keys.AccessKeyID != "AssumeRoleWithWebIdentity" {
		t.Errorf("the identity is %s", keys.AccessKeyID)
	}
	got := asked()
	if len(got) != 2 || !strings.Contains(got[0], "ExternalId=ours") || !strings.Contains(got[0], "RoleSessionName=stackjoin") || !strings.Contains(got[1], "WebIdentityToken=oidc-token") {
		t.Errorf("asked %q", got)
	}
}

// The same, as Kubernetes and others say it: by the environment alone.
func TestWebIdentityOfTheEnvironment(t *testing.T) {
	alone(t)
	address, _ := sts(t)
	t.Setenv("AWS_ENDPOINT_URL_STS", address)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write(t, "token", "oidc-token"))
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
	if _, keys := retrieve(t, awsconn.Config{Region: "eu-west-1"}); keys.AccessKeyID != "AssumeRoleWithWebIdentity" {
		t.Errorf("the identity is %s", keys.AccessKeyID)
	}
}

// An instance tells its region and its role's keys, by the token that version 2 of
// its metadata service asks for.
func TestTheInstanceSaysWhereAndWho(t *testing.T) {
	alone(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "600")
			_, _ = w.Write([]byte("metadata-token"))
			return
		}
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "metadata-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answers := map[string]string{
			"/latest/dynamic/instance-identity/document":           `{"region":"ap-south-1"}`,
			"/latest/meta-data/iam/security-credentials/":          "role",
			"/latest/meta-data/iam/security-credentials/role":      `{"Code":"Success","AccessKeyId":"instance","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}`,
			"/latest/meta-data/iam/security-credentials-extended/": "",
		}
		text := answers[r.URL.Path]
		if text == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	loaded, keys := retrieve(t, awsconn.Config{})
	if loaded.Region != "ap-south-1" || keys.AccessKeyID != "instance" {
		t.Errorf("%s in %s", keys.AccessKeyID, loaded.Region)
	}
}

// asks sends one request to where the SDK believes the service to be, through a
// proxy that tells.
func asks(t *testing.T, c awsconn.Config) string {
	t.Helper()
	host := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	c.Region, c.AccessKey, c.SecretKey, c.Proxy = "us-east-1", "a", "b", config.Secret(proxy.URL)
	loaded, err := c.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := kinesis.NewFromConfig(loaded, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
	_, _ = client.ListStreams(context.Background(), &kinesis.ListStreamsInput{}) // the proxy refuses
	return host
}

func TestRequestsGoThroughTheProxyToTheRightEndpoint(t *testing.T) {
	alone(t)
	for want, c := range map[string]awsconn.Config{
		"kinesis.us-east-1.amazonaws.com:443":      {},
		"kinesis-fips.us-east-1.amazonaws.com:443": {FIPS: true},
		"kinesis.us-east-1.api.aws:443":            {DualStack: true},
	} {
		if got := asks(t, c); got != want {
			t.Errorf("asks %q, want %q", got, want)
		}
	}
}

func TestProblemsAreNamed(t *testing.T) {
	for key, c := range map[string]awsconn.Config{
		"secret_key":      {AccessKey: "a"},
		"access_key":      {SecretKey: "b"},
		"profile":         {AccessKey: "a", SecretKey: "b", Profile: "p"},
		"endpoint":        {Endpoint: "localhost:4568"},
		"proxy":           {Proxy: "proxy:3128"},
		"assume_role.arn": {AssumeRole: awsconn.Role{ExternalID: "x"}},
	} {
		if found := c.Validate(); len(found) != 1 || found[0].Key != key {
			t.Errorf("%s: %v", key, found)
		}
	}
	both := awsconn.Config{Endpoint: "https://localhost:4567", FIPS: true}
	if found := both.Validate(); len(found) != 1 || found[0].Key != "endpoint" {
		t.Errorf("%v", found)
	}
	if found := (awsconn.Config{CAFile: "/nonexistent", SecretKeyFile: "/nonexistent"}).Check(); len(found) != 2 {
		t.Errorf("%v", found)
	}
	if _, err := (awsconn.Config{Region: "r", CAFile: write(t, "ca", "no PEM")}).Load(t.Context()); err == nil {
		t.Error("a file that is no PEM is taken for authorities")
	}
}
