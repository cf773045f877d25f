package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Form is how a source is laid out behind its address.
type Form uint8

// The forms.
const (
	Plain Form = iota // one file
	MISP              // a manifest and the events it lists
	TAXII             // a collection of a TAXII 2.1 server
)

// Source says what is fetched.
type Source struct {
	URL  string
	Form Form
	// Collection is the id, alias or title of a TAXII collection; empty where URL
	// is the collection's own, or where there is but one that may be read.
	Collection string
	// Header is sent to the URL's host, and to no other.
	Header http.Header
	// MaxBytes bounds all that is fetched at once, Timeout each answer.
	MaxBytes int64
	Timeout  time.Duration
	// Complete tells that a plain file is the whole list. Otherwise earlier ones
	// stay, each for Lifetime, 0 for ever, as far as there are at most 500.
	Complete bool
	Lifetime time.Duration
}

const maxKept = 500

// NewClient returns a client for Fetch. It follows a redirect, but not from https
// to http, and sends headers that may be secrets to the first host alone.
func NewClient() *http.Client {
	transport := http.DefaultTransport
	if usual, ok := transport.(*http.Transport); ok {
		own := usual.Clone()
		own.MaxIdleConnsPerHost, own.IdleConnTimeout = 1, 10*time.Second
		transport = own
	}
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

func checkRedirect(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	switch {
	case len(before) >= 10:
		return errors.New("it redirects without end")
	case first.Scheme == "https" && next.URL.Scheme != "https":
		return errors.New("it redirects from https to http")
	case first.Host == next.URL.Host:
		return nil
	}
	for name := range before[0].Header {
		if name != "Accept" && name != "User-Agent" {
			next.Header.Del(name)
		}
	}
	return nil
}

// job is one fetch under way.
type job struct {
	Source
	client *http.Client
	old    Note
	from   func(Document) string // where a document of old lies
	to     string                // the new folder
	left   int64
	note   Note
}

// Fetch brings what the source says now into the folder path. old is the note of
// the last copy, in its folder, whose documents are used again. changed is false
// where there is nothing new; then path stays empty. The note has Documents and
// what the server wants to hear the next time.
func Fetch(ctx context.Context, client *http.Client, s Source, folder Folder, old Note, path string) (n Note, changed bool, err error) {
	j := &job{Source: s, client: client, old: old, to: path, left: s.MaxBytes, from: func(d Document) string { return folder.Path(old, d) }}
	j.note = old
	j.note.Documents = nil
	switch s.Form {
	case MISP:
		changed, err = j.misp(ctx)
	case TAXII:
		changed, err = j.taxii(ctx)
	default:
		changed, err = j.plain(ctx)
	}
	if err == nil && !changed {
		j.note.Documents = old.Documents
	}
	return j.note, changed, err
}

// plain fetches one file.
func (j *job) plain(ctx context.Context) (changed bool, err error) {
	name := documentName(j.URL)
	header, status, err := j.download(ctx, j.URL, j.conditions(), filepath.Join(j.to, fileName(0, name)))
	if err != nil || status == http.StatusNotModified {
		return false, err
	}
	j.remember(header)
	j.note.Documents = []Document{{Name: name, File: fileName(0, name), Fetched: time.Now().UTC()}}
	if j.Complete {
		return true, nil
	}
	return true, j.older()
}

// older takes earlier documents over, the newest first.
func (j *job) older() error {
	for _, d := range j.old.Documents {
		if len(j.note.Documents) >= maxKept || j.Lifetime > 0 && time.Since(d.Fetched) > j.Lifetime {
			break
		}
		if err := j.carry(d); err != nil {
			return err
		}
	}
	return nil
}

// carry takes a document of the last copy over.
func (j *job) carry(d Document) error {
	from := j.from(d)
	d.File = fileName(len(j.note.Documents), d.Name)
	if err := carry(from, filepath.Join(j.to, d.File)); err != nil {
		return err
	}
	j.note.Documents = append(j.note.Documents, d)
	return nil
}

// conditions ask for the file only if it is another.
func (j *job) conditions() http.Header {
	h := http.Header{}
	if j.old.ETag != "" {
		h.Set("If-None-Match", j.old.ETag)
	}
	if j.old.LastModified != "" {
		h.Set("If-Modified-Since", j.old.LastModified)
	}
	return h
}

func (j *job) remember(h http.Header) {
	j.note.ETag, j.note.LastModified = h.Get("ETag"), h.Get("Last-Modified")
}

// statusError is an answer that is not the file.
type statusError struct{ status int }

func (e *statusError) Error() string {
	text := fmt.Sprintf("answered %d %s", e.status, http.StatusText(e.status))
	if e.status == http.StatusUnauthorized || e.status == http.StatusForbidden {
		text += ": check the feed's headers"
	}
	return text
}

func statusOf(err error) int {
	var e *statusError
	if errors.As(err, &e) {
		return e.status
	}
	return 0
}

// download writes what an address answers into a file. The only statuses without
// an error are 200 and, where conditions were sent, 304.
func (j *job) download(ctx context.Context, address string, more http.Header, file string) (h http.Header, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	answer, err := j.ask(ctx, address, more)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	switch {
	case answer.StatusCode == http.StatusNotModified && (more.Get("If-None-Match") != "" || more.Get("If-Modified-Since") != ""):
		return answer.Header, answer.StatusCode, nil
	case answer.StatusCode != http.StatusOK:
		return nil, 0, j.told(address, &statusError{answer.StatusCode})
	}
	return answer.Header, answer.StatusCode, j.save(answer.Body, address, file)
}

func (j *job) ask(ctx context.Context, address string, more http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("url: cannot be asked")
	}
	request.Header.Set("User-Agent", "stackjoin-enricher")
	for _, h := range []http.Header{j.Header, more} {
		for name, values := range h {
			request.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	answer, err := j.client.Do(request)
	if err != nil {
		return nil, j.told(address, err)
	}
	return answer, nil
}

func (j *job) save(body io.Reader, address, file string) error {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keeping a feed's copy: %w", err)
	}
	n, err := io.Copy(out, io.LimitReader(body, j.left+1))
	if j.left -= n; err == nil && j.left < 0 {
		err = fmt.Errorf("answers more than %d MiB", j.MaxBytes>>20)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return j.told(address, err)
	}
	return nil
}

// told says which host an error is about. Path and query stay out of it, since
// some owners want a key there.
func (j *job) told(address string, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	host := "the url"
	if u, parseErr := url.Parse(address); parseErr == nil {
		host = u.Host
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s did not answer within %s: %w", host, j.Timeout, err)
	}
	return fmt.Errorf("%s: %w", host, err)
}

// documentName is the last part of an address's path.
func documentName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "feed"
	}
	name := path.Base(strings.TrimSuffix(u.Path, "/"))
	if name == "." || name == "/" || name == "" {
		return u.Hostname()
	}
	return name
}
