package spool

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// memory is a file of fixed bytes.
type memory struct{ *bytes.Reader }

func (memory) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }
func (memory) Close() error                       { return nil }
func (memory) Sync() error                        { return nil }
func (memory) Truncate(int64) error               { return os.ErrPermission }

// scanAll is every frame in b after a segment header, with payloads copied.
func scanAll(b []byte, from *header) (frames []Frame, damaged int64) {
	s := scanner{file: memory{bytes.NewReader(b)}, end: int64(len(b)), from: from, damaged: func(from, to int64) { damaged += to - from }}
	for {
		f, ok, err := s.next()
		if err != nil || !ok {
			return frames, damaged
		}
		f.Payload = bytes.Clone(f.Payload)
		frames = append(frames, f)
	}
}

// FORMAT.md's example is a segment that this package reads as the page says.
func TestTheExampleInFormatIsASegment(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	must(t, err)
	block := regexp.MustCompile("(?s)```hex\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("FORMAT.md has no example")
	}
	var text strings.Builder
	for line := range strings.Lines(string(block[1])) {
		bytes, _, _ := strings.Cut(line, "|")
		text.WriteString(strings.Join(strings.Fields(bytes), ""))
	}
	b, err := hex.DecodeString(text.String())
	must(t, err)
	h, ok := parseSegmentHeader(b)
	if !ok || h.agent != "0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001" || h.run != "00112233445566aa" {
		t.Fatalf("header %+v, ok %v", h, ok)
	}
	frames, damaged := scanAll(b[segmentHeader:], &h)
	if len(frames) != 1 || damaged != 0 {
		t.Fatalf("%d frames, %d damaged bytes", len(frames), damaged)
	}
	f := frames[0]
	if f.Stream != "results" || f.Type != 'S' || string(f.Payload) != `{"name":"q"}` || f.Run != "00112233445566aa" || f.Seq != 7 ||
		!f.Spooled.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678000000, time.UTC)) {
		t.Errorf("frame %+v", f)
	}
}

// FuzzScanner: whatever the bytes are, reading ends, loses no frame that is
// whole and accounts for every byte.
func FuzzScanner(f *testing.F) {
	one := call("payload")
	from := &header{salt: 1, runNumber: 2}
	frame := append(appendFrameHeader(nil, 1, &one, 2, 3, time.Unix(4, 5)), one.Payload...)
	f.Add(frame, []byte("junk"), []byte("SJF1"))
	f.Add([]byte{}, frame[:20], frame)
	f.Fuzz(func(t *testing.T, before, between, after []byte) {
		b := bytes.Join([][]byte{before, frame, between, frame, after}, nil)
		frames, damaged := scanAll(b, from)
		found, total := 0, damaged
		for _, got := range frames {
			total += frameSize(&got.Call)
			if got.Seq == 3 && bytes.Equal(got.Payload, one.Payload) {
				found++
			}
		}
		if total != int64(len(b)) {
			t.Errorf("%d of %d bytes are accounted for", total, len(b))
		}
		if found < 2 {
			t.Errorf("%d of 2 whole frames were found", found)
		}
	})
}
