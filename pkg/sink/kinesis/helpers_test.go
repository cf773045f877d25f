package kinesis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/kpl"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

func open(t testing.TB, endpoint string, cfg kinesis.Config) *kinesis.Sink {
	t.Helper()
	cfg.Connect, cfg.Endpoint = kinesistest.AWS, endpoint
	s, err := kinesis.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// fake is a front before a Kinesis in memory with these streams of three shards.
func fake(t testing.TB, streams ...string) *kinesistest.Front {
	t.Helper()
	f := kinesistest.NewFront(t, kinesistest.NewFake())
	for _, name := range streams {
		kinesistest.CreateStream(t, f.Endpoint(), name, 3)
	}
	return f
}

// read returns a stream's rows in the sink's terms, as any consumer finds them.
func read(t testing.TB, endpoint, stream string, aggregate kinesis.Aggregate) []sink.Record {
	t.Helper()
	var out []sink.Record
	for _, r := range kinesistest.Read(t, endpoint, stream) {
		for _, value := range unpack(t, unzip(t, r.Data), aggregate) {
			out = append(out, sink.Record{Topic: stream, Key: []byte(*r.PartitionKey), Value: value})
		}
	}
	return out
}

// unzip takes the compression off that an entry's first bytes tell of.
func unzip(t testing.TB, data []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		r, err = gzip.NewReader(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(data)); err == nil {
			defer d.Close()
		}
		r = d
	default:
		return data
	}
	if err == nil {
		data, err = io.ReadAll(r)
	}
	if err != nil {
		t.Fatalf("decompress: %v", err)
	}
	return data
}

func unpack(t testing.TB, data []byte, aggregate kinesis.Aggregate) [][]byte {
	t.Helper()
	switch aggregate {
	case kinesis.NDJSON:
		var out [][]byte
		for line := range bytes.Lines(data) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				t.Fatalf("line %.80q does not end", line)
			}
			out = append(out, bytes.TrimSuffix(line, []byte("\n")))
		}
		return out
	case kinesis.KPL:
		a, ok, err := kpl.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			var out [][]byte
			for _, r := range a.All() {
				out = append(out, r.Data)
			}
			return out
		}
	}
	return [][]byte{data}
}

// rows makes n records of a few hosts; each host's are numbered from 0.
func rows(stream string, hosts, n int) []sink.Record {
	out := make([]sink.Record, n)
	for i := range out {
		out[i] = sink.Record{Topic: stream, Key: fmt.Appendf(nil, "host-%d", i%hosts), Value: fmt.Appendf(nil, `{"n":%d}`, i/hosts)}
	}
	return out
}

// inOrder wants n rows of the hosts, each once and in order.
func inOrder(t testing.TB, got []sink.Record, hosts, n int) {
	t.Helper()
	next := map[string]int{}
	for _, r := range got {
		if want := fmt.Sprintf(`{"n":%d}`, next[string(r.Key)]); string(r.Value) != want {
			t.Fatalf("%s: %s came where %s was due", r.Key, r.Value, want)
		}
		next[string(r.Key)]++
	}
	if len(got) != n || len(next) != hosts {
		t.Fatalf("%d rows of %d hosts, want %d of %d", len(got), len(next), n, hosts)
	}
}

func write(t testing.TB, s sink.Sink, batch []sink.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := s.Write(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

// verdict sorts what Write said of a batch: the indexes that failed and those that
// failed for good.
func verdict(err error, n int) (failed, permanent []int) {
	var partial *sink.BatchError
	for i := range n {
		why := err
		if errors.As(err, &partial) {
			why = partial.Failed[i]
		}
		if why != nil {
			failed = append(failed, i)
		}
		if sink.IsPermanent(why) {
			permanent = append(permanent, i)
		}
	}
	return failed, permanent
}
