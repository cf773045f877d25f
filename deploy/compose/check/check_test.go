// Package check reads docker-compose.yml with the parser that docker compose
// itself uses. It is a module of its own, so that the parser's dependencies stay
// out of ours.
package check

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../../.."

func load(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestTheFileIsValidAndHasItsServices(t *testing.T) {
	for _, name := range []string{"kafka", "topics", "osquery", "enricher"} {
		if _, err := load(t).GetService(name); err != nil {
			t.Error(err)
		}
	}
	for name, profile := range map[string]string{"prometheus": "metrics", "grafana": "metrics", "kinesis": "kinesis", "dynamodb": "kinesis", "enricher-kinesis": "kinesis"} {
		if _, err := load(t).GetService(name); err == nil {
			t.Errorf("%s starts without its profile", name)
		}
		if _, err := load(t, profile).GetService(name); err != nil {
			t.Error(err)
		}
	}
}

// The versions of kinesis-local and dynalite are those of the tests.
func TestEmulatorsAreTheTestsOwn(t *testing.T) {
	versions, err := os.ReadFile(filepath.Join(root, "scripts/versions.env"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/docker/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{"KINESIS_LOCAL_VERSION": "kinesis-local", "DYNALITE_VERSION": "dynalite"} {
		_, rest, _ := strings.Cut(string(versions), name+"=")
		version, _, _ := strings.Cut(rest, "\n")
		if version == "" || !strings.Contains(string(text), program+"@"+version+"\n") {
			t.Errorf("the Dockerfile does not have %s@%s", program, version)
		}
	}
}

func TestImagesArePinned(t *testing.T) {
	for _, s := range load(t, "metrics").AllServices() {
		if s.Build != nil {
			continue
		}
		_, tag, ok := strings.Cut(s.Image, ":")
		if !ok || tag == "latest" {
			t.Errorf("%s: image %q is not pinned", s.Name, s.Image)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/docker/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if image, ok := strings.CutPrefix(line, "FROM "); ok && (!strings.Contains(image, ":") || strings.Contains(image, ":latest")) {
			t.Errorf("Dockerfile: %q is not pinned", strings.TrimSpace(image))
		}
	}
}

func TestWhatIsMountedExists(t *testing.T) {
	for _, s := range load(t, "metrics").AllServices() {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		if s.Build == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}
