package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/stackjoin/stackjoin/internal/clip"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// maxPaths bounds the objects told of one event.
const maxPaths = 8

// mounted is a path that is an object of a bucket.
type mounted struct {
	Path   string `json:"path"`
	Bucket string `json:"bucket"`
	Key    string `json:"key,omitempty"`
	Mount  string `json:"mount"`
	How    string `json:"how"`
}

// objects writes which objects the event's path, or the paths in its command line, are,
// and what their buckets are labelled. Who called the API for them is another question.
func (o *Operator) objects(h *host, e *enrich.Event, labelled []Labelled) ([]byte, []Labelled) {
	var found []mounted
	add := func(path string) {
		if m := h.under(path, e); m != nil && len(found) < maxPaths {
			key, _ := m.key(path)
			one := mounted{path, m.Bucket, key, m.Path, m.How}
			if !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
	}
	switch e.Kind {
	case event.File:
		add(e.Text(event.TargetPath))
	case event.Process:
		if e.Lens.Inventory {
			return nil, labelled
		}
		for _, word := range words(e.Text(event.CommandLine)) {
			if at := strings.IndexByte(word, '/'); at == 0 || at > 0 && (word[at-1] == '=' || word[at-1] == '@') {
				add(clip.Text(word[at:], maxText))
			}
		}
	}
	if found == nil {
		return nil, labelled
	}
	labelled = slices.Clip(labelled)
	for i := range found {
		labelled = o.cfg.Labels.add(labelled, LabelBucket, found[i].Bucket)
	}
	return encode(found), labelled
}

// under is the mount that a path is below at the event's time, the nearest of several.
func (h *host) under(path string, e *enrich.Event) (best *mount) {
	if !strings.HasPrefix(path, "/") {
		return nil
	}
	for _, m := range h.mounts {
		if _, ok := m.key(path); ok && m.heldAt(e.Time) && (best == nil || len(m.Path) > len(best.Path)) {
			best = m
		}
	}
	return best
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
