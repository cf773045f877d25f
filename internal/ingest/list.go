package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Prefix is files below a prefix of a bucket.
type Prefix struct {
	Bucket, Prefix string
	// Since is when records begin to matter: older days are left out where the keys
	// tell the day, as CloudTrail's do, and older files elsewhere.
	Since time.Time
	// State is a file that says how far earlier runs came; empty begins anew each time.
	State string
	// Now is the last day that is looked at; time.Now where it is zero.
	Now time.Time
}

// progress is what the state file holds: for each folder the last key that was taken.
type progress struct {
	Version int               `json:"version"`
	Bucket  string            `json:"bucket"`
	Prefix  string            `json:"prefix"`
	Folders map[string]string `json:"folders"`
}

// List takes all files below a prefix, the oldest day first within each region, and
// notes after each that it was. A run that ended early, or days ago, is gone on with.
func (i *Ingest) List(ctx context.Context, p Prefix) error {
	if p.Now.IsZero() {
		p.Now = time.Now()
	}
	done, err := p.load()
	if err != nil {
		return err
	}
	return i.folder(ctx, &p, done, p.Prefix)
}

// skipped tells keys that hold no records: CloudTrail keeps digests and insights beside
// them.
func skipped(key string) bool {
	return strings.Contains(key, "/CloudTrail-Digest/") || strings.Contains(key, "/CloudTrail-Insight/") || strings.HasSuffix(key, "/")
}

// folder takes the files of a folder and those below it.
func (i *Ingest) folder(ctx context.Context, p *Prefix, done *progress, folder string) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	if regional(folder) {
		for day := p.Since.UTC().Truncate(24 * time.Hour); !day.After(p.Now); day = day.AddDate(0, 0, 1) {
			if err := i.files(ctx, p, done, folder+day.Format("2006/01/02/"), ""); err != nil {
				return err
			}
		}
		return nil
	}
	below, err := i.below(ctx, p, folder)
	if err != nil {
		return err
	}
	if err := i.files(ctx, p, done, folder, "/"); err != nil {
		return err
	}
	for _, next := range below {
		if skipped(next + "x") {
			continue
		}
		if err := i.folder(ctx, p, done, next); err != nil {
			return err
		}
	}
	return nil
}

// regional tells a folder whose folders are years: …/CloudTrail/REGION/.
func regional(folder string) bool {
	parts := strings.Split(strings.TrimSuffix(folder, "/"), "/")
	return strings.HasSuffix(folder, "/") && len(parts) >= 2 && parts[len(parts)-2] == "CloudTrail"
}

// below are the folders of a folder.
func (i *Ingest) below(ctx context.Context, p *Prefix, folder string) (all []string, err error) {
	slash := "/"
	pages := s3.NewListObjectsV2Paginator(i.Files, &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: &folder, Delimiter: &slash})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list s3://%s/%s: %w", p.Bucket, folder, err)
		}
		for _, c := range page.CommonPrefixes {
			all = append(all, *c.Prefix)
		}
	}
	return all, nil
}

// files takes the files of one folder that earlier runs have not taken. With a delimiter
// those of its folders are left out, and old files are.
func (i *Ingest) files(ctx context.Context, p *Prefix, done *progress, folder, delimiter string) error {
	in := &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: &folder}
	if delimiter != "" {
		in.Delimiter = &delimiter
	}
	if last := done.Folders[folder]; last != "" {
		in.StartAfter = &last
	}
	pages := s3.NewListObjectsV2Paginator(i.Files, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list s3://%s/%s: %w", p.Bucket, folder, err)
		}
		for _, o := range page.Contents {
			if skipped(*o.Key) || delimiter != "" && o.LastModified != nil && o.LastModified.Before(p.Since) {
				continue
			}
			if err := i.file(ctx, p.Bucket, *o.Key); err != nil {
				if ctx.Err() != nil {
					return ErrInterrupted
				}
				return err
			}
			done.Folders[folder] = *o.Key
			if err := p.save(done); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Prefix) load() (*progress, error) {
	fresh := &progress{Version: 1, Bucket: p.Bucket, Prefix: p.Prefix, Folders: map[string]string{}}
	if p.State == "" {
		return fresh, nil
	}
	text, err := os.ReadFile(p.State)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	var old progress
	if err := json.Unmarshal(text, &old); err != nil || old.Version != 1 || old.Folders == nil {
		return nil, fmt.Errorf("state file %s is not one of ours, or of a later version: name another, or delete it to begin anew", p.State)
	}
	if old.Bucket != p.Bucket || old.Prefix != p.Prefix {
		return nil, fmt.Errorf("state file %s is of s3://%s/%s: each source has its own", p.State, old.Bucket, old.Prefix)
	}
	return &old, nil
}

// save writes the state beside itself and renames it, so that there is a whole one
// whatever happens.
func (p *Prefix) save(done *progress) error {
	if p.State == "" {
		return nil
	}
	text, err := json.Marshal(done)
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(p.State), ".ingest-*")
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	_, err = next.Write(text)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), p.State)
	}
	if err != nil {
		return fmt.Errorf("state file: %w", errors.Join(err, os.Remove(next.Name())))
	}
	return nil
}
