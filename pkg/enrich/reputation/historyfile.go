package reputation

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// historyFile lies beside the copy of a feed. It is a line of JSON, then for each
// indicator its hash and since when the feed has it, in order.
const historyFile = "history"

// historyVersion is that of the form; another is no history.
const historyVersion = 1

// historyRecord is the size of one indicator: 8 bytes of hash, 4 of seconds, little
// end first.
const historyRecord = 12

type historyHead struct {
	Version int `json:"version"`
	// Source and Settings are those of the feed: what its rows mean.
	Source   string     `json:"source"`
	Settings uint32     `json:"settings"`
	Records  int        `json:"records"`
	Sum      uint32     `json:"sum"`
	Delisted []departed `json:"delisted"`
}

var errHistory = errors.New("no history of a form that is known")

// settings stands for what a feed's rows mean.
func (f Feed) settings() uint32 {
	text, _ := json.Marshal(f) // a Feed always can be
	return crc32.ChecksumIEEE(text)
}

// writeHistory puts a table's history beside the copy in dir, in one step.
func writeHistory(dir string, t *table) error {
	body := make([]byte, 0, historyRecord*len(t.idents))
	for i, id := range t.idents {
		if i > 0 && id.hash == t.idents[i-1].hash {
			continue
		}
		body = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(body, id.hash), id.seen)
	}
	head, err := json.Marshal(historyHead{
		Version: historyVersion, Source: t.feed.source(), Settings: t.feed.settings(), Records: len(body) / historyRecord,
		Sum: crc32.ChecksumIEEE(body), Delisted: t.gone,
	})
	if err != nil {
		return fmt.Errorf("history of a feed: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("history of a feed: %w", err)
	}
	path := filepath.Join(dir, historyFile)
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("history of a feed: %w", err)
	}
	_, err = file.Write(append(head, '\n'))
	if err == nil {
		_, err = file.Write(body)
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("history of a feed: %w", err)
	}
	return nil
}

// readHistory returns the history beside a copy of f, or nil where there is none that
// can be read: then nothing is known.
func readHistory(dir string, f Feed) *past {
	text, err := os.ReadFile(filepath.Join(dir, historyFile))
	if err != nil {
		return nil
	}
	p, err := decodeHistory(text, f)
	if err != nil {
		return nil
	}
	return p
}

func decodeHistory(text []byte, f Feed) (*past, error) {
	line, body, ok := bytes.Cut(text, []byte("\n"))
	var head historyHead
	if !ok || json.Unmarshal(line, &head) != nil || head.Version != historyVersion || head.Source != f.source() {
		return nil, errHistory
	}
	if len(body)%historyRecord != 0 || len(body)/historyRecord != head.Records || crc32.ChecksumIEEE(body) != head.Sum || len(head.Delisted) > maxDelisted {
		return nil, errHistory
	}
	p := &past{idents: make([]ident, 0, head.Records)}
	for len(body) > 0 {
		id := ident{hash: binary.LittleEndian.Uint64(body), seen: binary.LittleEndian.Uint32(body[8:])}
		if n := len(p.idents); n > 0 && p.idents[n-1].hash >= id.hash {
			return nil, errHistory
		}
		p.idents, body = append(p.idents, id), body[historyRecord:]
	}
	if head.Settings == f.settings() {
		p.gone = head.Delisted
	}
	return p, nil
}
