package kinesistest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/stackjoin/stackjoin/internal/testserver"
)

// Real starts kinesis-local on loopback ports and returns a front before it. It
// keeps its data in memory, and ends with the test. Where Node or the package are
// missing it skips the test, but fails it in CI (CI=true); a server that does not
// start fails it anywhere.
func Real(t testing.TB) *Front {
	t.Helper()
	ports := testserver.FreePorts(t, 2)
	address := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	client := Client(t, address.String())
	start(t, "kinesis-local", []string{
		"KINESIS_MOCK_PLAIN_PORT=" + strconv.Itoa(ports[0]), "KINESIS_MOCK_TLS_PORT=" + strconv.Itoa(ports[1]),
		"AWS_REGION=" + Region, "CREATE_STREAM_DURATION=10ms", "DELETE_STREAM_DURATION=10ms", "SPLIT_SHARD_DURATION=10ms", "MERGE_SHARDS_DURATION=10ms",
		"SHARD_LIMIT=1000", "LOG_LEVEL=WARN",
	}, []string{"main.js"}, func(ctx context.Context) error {
		_, err := client.ListStreams(ctx, &kinesis.ListStreamsInput{})
		return err //nolint:wrapcheck // start tells whose
	})
	proxy := httputil.NewSingleHostReverseProxy(address)
	proxy.ErrorLog = quiet()
	proxy.ModifyResponse = begin
	return NewFront(t, proxy)
}

// begin puts before the events of a subscription the message with which the service
// begins them: the emulator leaves it out, and the SDK insists.
func begin(answer *http.Response) error {
	if answer.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" {
		return nil
	}
	var first bytes.Buffer
	if err := encodeMessage(&first, "event", "initial-response", []byte("{}")); err != nil {
		return err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&first, answer.Body), answer.Body}
	answer.ContentLength = -1
	answer.Header.Del("Content-Length")
	return nil
}

// module is the folder of an npm package that scripts/kinesis.sh has fetched.
func module(name string) (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", fmt.Errorf("node is missing: %w", err)
	}
	dir, err := testserver.Fetched("kinesis-local", "KINESIS_LOCAL_VERSION", "kinesis.sh")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "node_modules", name), nil
}

// Script makes a run of Node with the text of a program that may require
// aws-kinesis-agg, Amazon's own aggregation in JavaScript. Where that is missing it
// skips the test, but fails it in CI.
func Script(t testing.TB, program string) *exec.Cmd {
	t.Helper()
	dir, err := module("")
	if err != nil {
		testserver.Absent(t, "aws-kinesis-agg", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "-e", program)
	cmd.Dir = filepath.Dir(dir)
	return cmd
}

// start runs a program of an npm package, in the package's own folder: kinesis-local
// reads its certificate from there. It returns once answers does.
func start(t testing.TB, name string, env, args []string, answers func(context.Context) error) {
	t.Helper()
	dir, err := module(name)
	if err != nil {
		testserver.Absent(t, name, err)
	}
	run(t, name, dir, env, append([]string{"node"}, args...), answers)
}

// run runs a program in a folder until the test ends, and returns once it answers.
func run(t testing.TB, name, dir string, env, words []string, answers func(context.Context) error) {
	t.Helper()
	log := filepath.Join(t.TempDir(), name+".log")
	server, err := testserver.Start(log, dir, env, words[0], words[1:]...)
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s's last words:\n%s", name, testserver.LastWords(log))
		}
		if err := server.End(syscall.SIGKILL); err != nil {
			t.Errorf("end %s: %v", name, err)
		}
	})
	for deadline := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := answers(ctx)
		cancel()
		if err == nil {
			return
		}
		if server.Ended() || time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v\n%s", name, err, testserver.LastWords(log))
		}
		select {
		case <-server.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}
