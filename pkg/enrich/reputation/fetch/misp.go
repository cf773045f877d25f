package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// misp fetches the manifest and then the events that are new or changed since the
// last time. An event that the manifest lists and the server has not is left out;
// one that the manifest no longer lists is gone.
func (j *job) misp(ctx context.Context) (changed bool, err error) {
	base := strings.TrimSuffix(strings.TrimSuffix(j.URL, "manifest.json"), "/")
	file := filepath.Join(j.to, "manifest.json")
	header, status, err := j.download(ctx, base+"/manifest.json", j.conditions(), file)
	if err != nil || status == http.StatusNotModified {
		return false, err
	}
	events, err := readManifest(file)
	if err != nil {
		return false, err
	}
	j.remember(header)
	j.note.Events = map[string]int64{}
	earlier := map[string]Document{}
	for _, d := range j.old.Documents {
		earlier[strings.TrimSuffix(d.Name, ".json")] = d
	}
	for _, id := range slices.Sorted(maps.Keys(events)) {
		if err := j.event(ctx, base, id, events[id], earlier); err != nil {
			return false, err
		}
	}
	if len(j.note.Documents) == 0 && len(events) > 0 {
		return false, errors.New("the manifest lists events, and none of them is there")
	}
	if len(events) == 0 {
		return false, errors.New("the manifest lists no events")
	}
	if maps.Equal(j.note.Events, j.old.Events) {
		return false, clearFolder(j.to)
	}
	if err := os.Remove(file); err != nil {
		return false, fmt.Errorf("manifest: %w", err)
	}
	return true, nil
}

// event takes over or fetches one event.
func (j *job) event(ctx context.Context, base, id string, changed int64, earlier map[string]Document) error {
	if d, ok := earlier[id]; ok && j.old.Events[id] == changed {
		j.note.Events[id] = changed
		return j.carry(d)
	}
	d := Document{Name: id + ".json", File: fileName(len(j.note.Documents), id+".json"), Fetched: time.Now().UTC()}
	_, _, err := j.download(ctx, base+"/"+id+".json", nil, filepath.Join(j.to, d.File))
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusGone {
		return nil
	}
	if err != nil {
		return err
	}
	j.note.Events[id] = changed
	j.note.Documents = append(j.note.Documents, d)
	return nil
}

// readManifest returns when each event was last changed, in Unix seconds.
func readManifest(file string) (map[string]int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var list map[string]struct {
		Timestamp any `json:"timestamp"` // a number, or a string of digits
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("is not a MISP manifest: %w", err)
	}
	events := map[string]int64{}
	for id, e := range list {
		if !isUUID(id) {
			return nil, fmt.Errorf("is not a MISP manifest: %.60q is no event's uuid", id)
		}
		switch at := e.Timestamp.(type) {
		case float64:
			events[id] = int64(at)
		case string:
			events[id], _ = strconv.ParseInt(at, 10, 64)
		}
	}
	return events, nil
}

// isUUID checks what becomes part of an address and of a file's name.
func isUUID(text string) bool {
	return len(text) == 36 && strings.Trim(text, "0123456789abcdefABCDEF-") == ""
}

// clearFolder empties a folder that is not needed after all.
func clearFolder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("clearing a feed's copy: %w", err)
	}
	var all []error
	for _, e := range entries {
		all = append(all, os.Remove(filepath.Join(path, e.Name())))
	}
	return errors.Join(all...)
}
