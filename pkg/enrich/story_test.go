package enrich_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/story"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	processes "github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// The golden corpus: each file of testdata/stories is rows in and records out.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			operators := []enrich.Operator{processes.New(processes.Config{}, state.NewMemory())}
			story.Load(t, path).Run(t, enrich.NewPipeline(event.NewLenses(), operators, nil))
		})
	}
}
