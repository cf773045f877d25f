package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The client side of TAXII 2.1 (OASIS, sections 3 to 5).

const (
	taxiiType = "application/taxii+json;version=2.1"
	// taxiiTypes are the objects that are asked for: indicators, and what gives
	// them names.
	taxiiTypes = "indicator,relationship,attack-pattern,malware,tool,campaign,intrusion-set,threat-actor,marking-definition"
	// taxiiLimit is the most objects that a page should have; servers lower it.
	// The reference server fails at a next without a limit.
	taxiiLimit = "1000"
	maxPages   = 100_000
	// mergeAt is how many pages are kept before they are made one.
	mergeAt = 100
)

// envelope is one page.
type envelope struct {
	More    bool              `json:"more"`
	Next    string            `json:"next"`
	Objects []json.RawMessage `json:"objects"`
}

// taxii fetches what was added to a collection since the last time, page by page.
func (j *job) taxii(ctx context.Context) (changed bool, err error) {
	collection, err := j.collection(ctx)
	if err != nil {
		return false, err
	}
	for _, d := range j.old.Documents {
		if err := j.carry(d); err != nil {
			return false, err
		}
	}
	fresh, err := j.pages(ctx, collection)
	if err != nil {
		return false, err
	}
	if len(j.note.Documents) == 0 {
		return true, j.page(&envelope{}) // so that an empty collection is a list too
	}
	if !fresh {
		return false, clearFolder(j.to)
	}
	if len(j.note.Documents) > mergeAt {
		return true, j.merge()
	}
	return true, nil
}

// pages follows next as long as there is more. A token that the server no longer
// knows (400) is answered by asking again from the start: what comes twice is
// known by its id.
func (j *job) pages(ctx context.Context, collection string) (fresh bool, err error) {
	after, next, restarts := j.note.AddedAfter, "", 0
	for range maxPages {
		page, added, err := j.getPage(ctx, collection, after, next)
		if statusOf(err) == http.StatusBadRequest && next != "" && restarts < 3 {
			next, restarts = "", restarts+1
			continue
		}
		if err != nil {
			return fresh, err
		}
		if len(page.Objects) > 0 {
			fresh = true
			if err := j.page(page); err != nil {
				return fresh, err
			}
		}
		j.note.AddedAfter = max(added, j.note.AddedAfter)
		if !page.More {
			return fresh, nil
		}
		if next = page.Next; next == "" {
			if added <= after {
				return fresh, errors.New("the TAXII server says that there is more, and not where")
			}
			after = added
		}
	}
	return fresh, errors.New("the TAXII server has more pages than can be true")
}

// getPage asks for one page. added is when the last of its objects was added.
func (j *job) getPage(ctx context.Context, collection, after, next string) (page *envelope, added string, err error) {
	query := url.Values{"match[type]": {taxiiTypes}, "limit": {taxiiLimit}}
	if after != "" {
		query.Set("added_after", after)
	}
	if next != "" {
		query.Set("next", next)
	}
	page = &envelope{}
	header, err := j.getJSON(ctx, collection+"objects/?"+query.Encode(), page)
	if err != nil {
		return nil, "", err
	}
	return page, header.Get("X-TAXII-Date-Added-Last"), nil
}

// page keeps the objects of a page.
func (j *job) page(page *envelope) error {
	if page.Objects == nil {
		page.Objects = []json.RawMessage{}
	}
	text, err := json.Marshal(struct {
		Objects []json.RawMessage `json:"objects"`
	}{page.Objects})
	if err != nil {
		return fmt.Errorf("keeping a page: %w", err)
	}
	name := fmt.Sprintf("page-%s.json", time.Now().UTC().Format("20060102T150405.000000"))
	d := Document{Name: name, File: fileName(len(j.note.Documents), name), Fetched: time.Now().UTC()}
	if err := os.WriteFile(filepath.Join(j.to, d.File), text, 0o600); err != nil {
		return fmt.Errorf("keeping a page: %w", err)
	}
	j.note.Documents = append(j.note.Documents, d)
	return nil
}

// merge makes one document of all, with the last version of each object.
func (j *job) merge() error {
	type version struct {
		ID       string `json:"id"`
		Modified string `json:"modified"`
		raw      json.RawMessage
	}
	last := map[string]version{}
	var order []string
	for _, d := range j.note.Documents {
		file := filepath.Join(j.to, d.File)
		var page envelope
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &page)
		}
		if err != nil {
			return fmt.Errorf("merging pages: %w", err)
		}
		for _, raw := range page.Objects {
			v := version{raw: raw}
			if err := json.Unmarshal(raw, &v); err != nil {
				continue // the decoder has counted it, and would again
			}
			old, ok := last[v.ID]
			if !ok {
				order = append(order, v.ID)
			}
			if !ok || strings.TrimSuffix(v.Modified, "Z") >= strings.TrimSuffix(old.Modified, "Z") {
				last[v.ID] = v
			}
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("merging pages: %w", err)
		}
	}
	j.note.Documents = nil
	all := &envelope{}
	for _, id := range order {
		all.Objects = append(all.Objects, last[id].raw)
	}
	return j.page(all)
}

// collection is the address of the collection, with a slash at its end.
func (j *job) collection(ctx context.Context) (string, error) {
	if strings.Contains(j.URL, "/collections/") && !strings.HasSuffix(j.URL, "/collections/") {
		return strings.TrimSuffix(strings.TrimSuffix(j.URL, "/"), "/objects") + "/", nil
	}
	root, err := j.root(ctx)
	if err != nil {
		return "", err
	}
	var list struct {
		Collections []struct {
			ID, Title, Alias string
			CanRead          bool `json:"can_read"`
		}
	}
	if _, err := j.getJSON(ctx, root+"collections/", &list); err != nil {
		return "", err
	}
	found := ""
	for _, c := range list.Collections {
		switch {
		case j.Collection != "" && j.Collection != c.ID && j.Collection != c.Title && j.Collection != c.Alias, j.Collection == "" && !c.CanRead:
			continue
		case !c.CanRead:
			return "", fmt.Errorf("collection %q may not be read with these headers", j.Collection)
		case found != "":
			return "", errors.New("there are several collections: name one in collection")
		}
		found = c.ID
	}
	if found == "" {
		return "", fmt.Errorf("there is no readable collection %q", j.Collection)
	}
	return root + "collections/" + url.PathEscape(found) + "/", nil
}

// root is the address of the API root: the URL's own, or the one that a server's
// discovery names first.
func (j *job) root(ctx context.Context) (string, error) {
	address := strings.TrimSuffix(strings.TrimSuffix(j.URL, "collections/"), "/") + "/"
	var about struct {
		Default string
		Roots   []string `json:"api_roots"`
	}
	if _, err := j.getJSON(ctx, address, &about); err != nil {
		return "", err
	}
	root := about.Default
	if root == "" && len(about.Roots) > 0 {
		root = about.Roots[0]
	}
	if root == "" {
		return address, nil
	}
	here, err := url.Parse(address)
	if err != nil {
		return "", errors.New("url: cannot be read")
	}
	there, err := here.Parse(root)
	if err != nil || there.Host != here.Host {
		return "", errors.New("the TAXII server names an API root on another host: give that as url")
	}
	return strings.TrimSuffix(there.String(), "/") + "/", nil
}

func (j *job) getJSON(ctx context.Context, address string, into any) (http.Header, error) {
	file := filepath.Join(j.to, "answer")
	defer os.Remove(file) //nolint:errcheck // of an error to come, or none
	header, _, err := j.download(ctx, address, http.Header{"Accept": {taxiiType}}, file)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return nil, j.told(address, fmt.Errorf("not a TAXII answer: %w", err))
	}
	return header, nil
}
