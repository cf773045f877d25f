package enricherconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
)

func TestLabels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(`labels:
  accounts: [{id: "111122223333", labels: [production]}]
  images: [{id: ami-1, labels: [trusted], owner: platform}]
  buckets: [{id: b, labels: [sensitive]}]
  addresses: [{id: 192.0.2.0/24, labels: [trusted]}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	known := c.Cloud().Labels
	if l := known.Of(cloud.LabelImage, "ami-1"); l == nil || l.Owner != "platform" || !l.Has("trusted") {
		t.Errorf("the image is %+v", l)
	}
	got := string(known.AppendLabels(nil, "111122223333", "ami-2", "b", "192.0.2.7", "AWS Internal", ""))
	want := `[{"kind":"account","id":"111122223333","labels":["production"]},{"kind":"bucket","id":"b","labels":["sensitive"]},{"kind":"address","id":"192.0.2.7","labels":["trusted"]}]`
	if got != want {
		t.Errorf("labels are %s, want %s", got, want)
	}
	if text := known.AppendLabels(nil, "1", "", ""); text != nil {
		t.Errorf("nothing is labelled as %s", text)
	}
}

func TestWrongLabelsAreTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("labels:\n  buckets: [{labels: [x]}]\n  addresses: [{id: office}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	for _, words := range []string{"labels.buckets[0].id", "must be given", "labels.addresses[0].id", `"office" is no address`} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("no %s in %v", words, err)
		}
	}
}
