package reputation

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

const (
	maxDocuments = 100_000
	// A list packs to a fifth or a twentieth. What unpacks to this many times its
	// size is made to fill memory, not to be read.
	bombRatio = 200
	bombStart = 8 << 20 // bytes that are unpacked before the ratio counts
)

// document is a file of a feed; name is what rows are told by.
type document struct{ name, path string }

// stamp is what tells that files changed without reading them; the empty one is
// of files that cannot be seen.
type stamp struct {
	sum    string
	newest int64 // time of the last change, Unix nanoseconds
}

// localDocuments lists the files that a path stands for: itself, those in the
// folder and below, or those of a pattern. Hidden ones are left out.
func localDocuments(path string) ([]document, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return folderDocuments(path)
	case err == nil || !strings.ContainsAny(path, "*?["):
		return []document{{filepath.Base(path), path}}, nil
	}
	found, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%s is no pattern of file names: %w", path, err)
	}
	var list []document
	for _, f := range found {
		if info, err := os.Stat(f); err == nil && !info.IsDir() && !strings.HasPrefix(filepath.Base(f), ".") {
			list = append(list, document{filepath.Base(f), f})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no file %s", path)
	}
	return list, nil
}

func folderDocuments(root string) (list []document, err error) {
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != root && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case len(list) > maxDocuments:
			return fmt.Errorf("%s has more than %d files", root, maxDocuments)
		}
		// A link, as Kubernetes mounts them, counts as what it leads to.
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a file that just went away is no error
		}
		name := strings.TrimLeft(filepath.ToSlash(strings.TrimPrefix(path, root)), "/")
		list = append(list, document{name, path})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the feed's folder: %w", err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s is an empty folder", root)
	}
	return list, nil
}

// lookAt is the stamp of the files that path stands for.
func lookAt(path string) stamp {
	list, err := localDocuments(path)
	if err != nil {
		return stamp{}
	}
	sum, newest := sha256.New(), int64(0)
	for _, d := range list {
		info, err := os.Stat(d.path)
		if err != nil {
			return stamp{}
		}
		newest = max(newest, info.ModTime().UnixNano())
		fmt.Fprintf(sum, "%s\x00%d\x00%d\x00", d.path, info.Size(), info.ModTime().UnixNano())
	}
	return stamp{hex.EncodeToString(sum.Sum(nil)[:16]), newest}
}

// reader hands out the texts of a feed's documents, unpacked.
type reader struct {
	ctx  context.Context
	sum  hash.Hash
	many bool
	left int64
	max  int64
	use  func(*feed.Text) error
}

// withTexts reads the documents one after the other and returns the generation:
// the hash of what they say. Errors name the document.
func withTexts(ctx context.Context, list []document, maxBytes int64, use func(*feed.Text) error) (generation string, err error) {
	r := &reader{ctx: ctx, sum: sha256.New(), many: len(list) > 1, left: maxBytes, max: maxBytes, use: use}
	for _, d := range list {
		if err := r.document(d); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(r.sum.Sum(nil)[:8]), nil
}

func (r *reader) document(d document) error {
	f, info, err := openRegular(d.path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	in := &counted{r: bufio.NewReader(f)}
	head, _ := in.r.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		err = r.gzip(d, in)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		err = r.zip(d, f, info.Size())
	default:
		err = r.text(d.name, in.r)
	}
	if err != nil {
		return fmt.Errorf("%s %w", d.path, err)
	}
	return nil
}

// openRegular opens a file, looking first: opening a pipe would wait for its
// writer.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no file %s", path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("looking at the feed: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is a device or a pipe, not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the feed: %w", err)
	}
	return f, info, nil
}

func (r *reader) gzip(d document, in *counted) error {
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("is broken gzip: %w", err)
	}
	return r.text(d.name, &guard{r: unpacked, packed: func() int64 { return in.n }})
}

// zip reads every file in an archive, in the order of their names.
func (r *reader) zip(d document, f io.ReaderAt, size int64) error {
	archive, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("is a broken zip: %w", err)
	}
	members := slices.DeleteFunc(archive.File, func(m *zip.File) bool { return !m.Mode().IsRegular() })
	slices.SortFunc(members, func(a, b *zip.File) int { return cmp.Compare(a.Name, b.Name) })
	if len(members) == 0 {
		return errors.New("is a zip without a file in it")
	}
	if len(members) > maxDocuments {
		return fmt.Errorf("is a zip of more than %d files", maxDocuments)
	}
	r.many = r.many || len(members) > 1
	for _, m := range members {
		if err := r.member(m, len(members) == 1, d); err != nil {
			return fmt.Errorf("has a file %.80q in it that %w", m.Name, err)
		}
	}
	return nil
}

func (r *reader) member(m *zip.File, only bool, d document) error {
	in, err := m.Open()
	if err != nil {
		return fmt.Errorf("cannot be unpacked: %w", err)
	}
	defer in.Close() //nolint:errcheck // only read
	name := m.Name
	if only {
		name = d.name
	}
	packed := int64(m.CompressedSize64)
	return r.text(name, &guard{r: in, packed: func() int64 { return packed }})
}

func (r *reader) text(name string, in io.Reader) error {
	if r.many {
		r.sum.Write(append([]byte(name), 0))
	}
	before := &counted{r: bufio.NewReader(in)}
	t, err := feed.NewText(r.ctx, name, before, r.sum, r.left)
	if err != nil {
		return err
	}
	if err := r.use(t); err != nil {
		return err
	}
	r.left -= before.n
	return nil
}

// counted counts what was read through it.
type counted struct {
	r *bufio.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// ReadByte keeps gzip from reading ahead on its own.
func (c *counted) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err //nolint:wrapcheck // as above
}

// guard refuses text that grows out of next to nothing.
type guard struct {
	r      io.Reader
	packed func() int64
	n      int64
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if g.n += int64(n); g.n > bombStart && g.n/bombRatio > g.packed() {
		return 0, fmt.Errorf("it unpacks to over %d times its size", bombRatio)
	}
	return n, err //nolint:wrapcheck // as above
}
