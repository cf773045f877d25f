package fetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Document is one file of a feed.
type Document struct {
	// Name is for a person, File the name in the folder.
	Name string `json:"name"`
	File string `json:"file"`
	// Fetched is when it came.
	Fetched time.Time `json:"fetched"`
}

// Note is what is known of the copy of a feed that is kept.
type Note struct {
	// Source names where the copy is from; another makes the rest meaningless.
	Source    string     `json:"source"`
	Folder    string     `json:"folder"`
	Documents []Document `json:"documents"`

	// What the server wants to hear the next time.
	ETag         string           `json:"etag,omitempty"`
	LastModified string           `json:"last_modified,omitempty"`
	AddedAfter   string           `json:"added_after,omitempty"`
	Events       map[string]int64 `json:"events,omitempty"`

	// How the load of the copy went.
	Generation string    `json:"generation"`
	Entries    int       `json:"entries"`
	Rows       int       `json:"rows"`
	Refused    int       `json:"refused"`
	Skipped    int       `json:"skipped"`
	Private    int       `json:"private"`
	Loaded     time.Time `json:"loaded"`

	// Checked is when the source was last found to say this, Next when it is to
	// be asked again, and Failure why that failed the last time.
	Checked time.Time `json:"checked"`
	Next    time.Time `json:"next,omitzero"`
	Failure string    `json:"failure,omitempty"`
}

const noteFile = "note.json"

// Folder is what is kept of one feed on disk. One process may write it.
type Folder struct{ Dir string }

// Read returns the note of what is kept; ok is false where nothing usable is.
func (f Folder) Read() (n Note, ok bool) {
	text, err := os.ReadFile(filepath.Join(f.Dir, noteFile))
	if err != nil || json.Unmarshal(text, &n) != nil {
		return Note{}, false
	}
	return n, true
}

// Path is where a document of the note lies.
func (f Folder) Path(n Note, d Document) string {
	return filepath.Join(f.Dir, filepath.Base(n.Folder), filepath.Base(d.File))
}

// New makes an empty folder to bring documents into. Who does not Keep it removes
// it.
func (f Folder) New() (string, error) {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return "", fmt.Errorf("folder for a feed's copy: %w", err)
	}
	path, err := os.MkdirTemp(f.Dir, "copy-")
	if err != nil {
		return "", fmt.Errorf("folder for a feed's copy: %w", err)
	}
	return path, nil
}

// Keep makes the documents in path, a folder of New, what is kept, and drops what
// was. After a crash it is the one or the other.
func (f Folder) Keep(path string, n Note) error {
	n.Folder = filepath.Base(path)
	for _, d := range n.Documents {
		if err := syncFile(filepath.Join(path, d.File)); err != nil {
			return err
		}
	}
	if err := syncFile(path); err != nil {
		return err
	}
	if err := f.Write(n); err != nil {
		return err
	}
	return f.sweep(n.Folder)
}

// Write replaces the note alone.
func (f Folder) Write(n Note) error {
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("note of a feed: %w", err)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("folder for a feed's copy: %w", err)
	}
	fresh := filepath.Join(f.Dir, noteFile+".new")
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return fmt.Errorf("note of a feed: %w", err)
	}
	if err := syncFile(fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, filepath.Join(f.Dir, noteFile)); err != nil {
		return fmt.Errorf("note of a feed: %w", err)
	}
	return syncFile(f.Dir)
}

// sweep removes the copies that are not kept, those of a crash too.
func (f Folder) sweep(kept string) error {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return fmt.Errorf("clearing old copies of a feed: %w", err)
	}
	var all []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "copy-") && e.Name() != kept {
			all = append(all, os.RemoveAll(filepath.Join(f.Dir, e.Name())))
		}
	}
	return errors.Join(all...)
}

func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("keeping a feed's copy: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("keeping a feed's copy: %w", err)
	}
	return nil
}

// Import brings a local file into the folder path as document number n.
func Import(path string, n int, name, from string) (Document, error) {
	d := Document{Name: name, File: fileName(n, name), Fetched: time.Now().UTC()}
	return d, copyFile(from, filepath.Join(path, d.File))
}

// carry takes a document of an earlier copy over, sharing its bytes where the file
// system can.
func carry(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	return copyFile(from, to)
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copying a feed: %w", err)
	}
	defer source.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copying a feed: %w", err)
	}
	_, err = io.Copy(out, source)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copying a feed: %w", err)
	}
	return nil
}

// fileName makes a file's name of a document's, unique by its number.
func fileName(n int, name string) string {
	safe := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("-_."), r)) {
			return r
		}
		return '_'
	}, name)
	return fmt.Sprintf("%06d-%s", n, safe[max(0, len(safe)-100):])
}
