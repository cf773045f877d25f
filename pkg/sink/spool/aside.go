package spool

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	asideSuffix = ".damaged"
	// maxAside bounds the files that hold damaged bytes; beyond it they are only
	// counted.
	maxAside = 16 << 20
)

func asideName(segment uint64, from int64) string {
	return fmt.Sprintf("%020d-%d%s", segment, from, asideSuffix)
}

// setAside copies bytes that are no frame into a file of their own, for whoever
// wants to know what happened, before their segment is removed.
func (s *Spool) setAside(segment uint64, from, to int64) {
	name := asideName(segment, from)
	if _, err := s.files.size(name); err == nil {
		return // done when it was read before
	}
	s.mu.Lock()
	room := s.aside+to-from <= maxAside
	if room {
		s.aside += to - from
	}
	s.mu.Unlock()
	if !room {
		return
	}
	if err := s.copyAside(name, segment, from, to); err != nil {
		s.cfg.Log.Warn("damaged bytes are not kept", "file", name, "error", errors.Join(err, s.files.remove(name)))
		s.mu.Lock()
		s.aside -= to - from
		s.mu.Unlock()
	}
}

func (s *Spool) copyAside(name string, segment uint64, from, to int64) (err error) {
	in, err := s.files.open(segmentName(segment))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := s.files.create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(io.NewOffsetWriter(out, 0), io.NewSectionReader(in, from, to-from))
	if err == nil {
		err = out.Sync()
	}
	if err != nil {
		return fmt.Errorf("copy %d bytes of %s: %w", to-from, segmentName(segment), err)
	}
	return nil
}

// findAside adds up what was set aside before.
func (s *Spool) findAside() error {
	names, err := s.files.list()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, asideSuffix) {
			continue
		}
		if size, err := s.files.size(name); err == nil {
			s.aside += size
		}
	}
	return nil
}
