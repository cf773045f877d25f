package enrich_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/internal/story"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// pipelineFor is what the enricher takes rows through, with its defaults.
func pipelineFor(t *testing.T, s *story.Story) *enrich.Pipeline {
	t.Helper()
	cfg, err := enricherconf.Load("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Joins.Emit, cfg.Lenses = s.Emit, s.Lenses
	builder, states := joins.NewBuilder(cfg, reputation.NewStore(nil), nil), func(string) enrich.State { return state.NewMemory() }
	p, err := builder.Build("rows/0", 0, states)
	if s.Sensors() {
		p, err = builder.Alone("rows/0", states)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The golden corpus: each file of testdata/stories is rows in and records out.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			s := story.Load(t, path)
			s.Run(t, pipelineFor(t, s))
		})
	}
}
