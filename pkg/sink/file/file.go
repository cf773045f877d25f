// Package file delivers records to files, a line each: one file of a topic for each
// time a process starts, and another when that has grown large.
//
// A line that ends was written by one Write, and is durable once that returns. A last
// line without an end was not acknowledged, and comes again elsewhere. The package must
// never write to a file that was there before, so that it needs no lock and mends
// nothing.
package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stackjoin/stackjoin/internal/durable"
	"github.com/stackjoin/stackjoin/pkg/sink"
)

// largest is the size from which on a new file is begun.
const largest = 256 << 20

// Sink writes to files in one folder. Unlike others it may be shared: Write can be
// called by several goroutines.
type Sink struct {
	dir string

	mu    sync.Mutex
	files map[string]*output
	ended bool
}

// output is the open file of a topic.
type output struct {
	file  *os.File
	size  int64
	stale bool // something was written that is not acknowledged
}

// New returns a Sink, and makes the folder.
func New(dir string) (*Sink, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("output folder: %w", err)
	}
	return &Sink{dir: dir, files: map[string]*output{}}, nil
}

// Write implements sink.Sink. A line end inside a value, which is white space in JSON,
// becomes a space. Key and headers are left out.
func (s *Sink) Write(ctx context.Context, batch []sink.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errors.New("file: the sink is closed")
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("file: %w", err)
	}
	lines := map[string][]byte{}
	for i := range batch {
		lines[batch[i].Topic] = sink.AppendLine(lines[batch[i].Topic], batch[i].Value)
	}
	for topic, text := range lines {
		if err := s.write(topic, text); err != nil {
			return fmt.Errorf("file: %w", err)
		}
	}
	return nil
}

// write appends whole lines to the topic's file and syncs it. A file that failed is
// left as it is, since nobody knows what of it is on the disk: the next is a new one.
func (s *Sink) write(topic string, text []byte) (err error) {
	o := s.files[topic]
	if o != nil && (o.stale || o.size >= largest) {
		delete(s.files, topic)
		if err := o.file.Close(); err != nil && !o.stale {
			return err
		}
		o = nil
	}
	if o == nil {
		if o, err = s.open(topic); err != nil {
			return err
		}
		s.files[topic] = o
	}
	o.stale = true
	n, err := o.file.Write(text)
	if o.size += int64(n); err == nil {
		err = o.file.Sync()
	}
	if err != nil {
		return err //nolint:wrapcheck // os names the file
	}
	o.stale = false
	return nil
}

func (s *Sink) open(topic string) (*output, error) {
	var token [4]byte
	_, _ = rand.Read(token[:]) // never fails (crypto/rand)
	name := fmt.Sprintf("%s-%s-%s.ndjson", strings.Map(plain, topic), time.Now().UTC().Format("20060102T150405.000000Z"), hex.EncodeToString(token[:]))
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err //nolint:wrapcheck // os names the file
	}
	if err := durable.SyncDir(s.dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &output{file: f}, nil
}

// plain keeps a topic's name inside the folder.
func plain(r rune) rune {
	if strings.ContainsRune(`/\:`, r) {
		return '_'
	}
	return r
}

// Close implements sink.Sink. A second Close does nothing.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all error
	for topic, o := range s.files {
		all = errors.Join(all, o.file.Close())
		delete(s.files, topic)
	}
	s.ended = true
	return all
}
