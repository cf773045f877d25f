package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// keep loads the feeds that can be loaded, as an enricher with that configuration
// would.
func keep(t *testing.T, config string) {
	t.Helper()
	cfg, err := enricherconf.Load(config)
	if err != nil {
		t.Fatal(err)
	}
	var local []reputation.Feed
	for _, f := range cfg.FeedList() {
		if f.Preset != "openphish" { // nobody answers there
			local = append(local, f)
		}
	}
	k := feedKeeper{feeds: local, loader: reputation.Loader{Dir: cfg.State.Dir, Header: cfg.Header}, log: slog.New(slog.DiscardHandler)}
	if _, err := k.load(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// A configuration's mistakes about feeds are told with their keys.
func TestFeedSettingsAreChecked(t *testing.T) {
	config := write(t, "enricher.yaml", `feeds:
  - {name: a, path: x, headers: {Auth-Key: s3cret}}
  - {preset: urlhaus}
  - {preset: urlhaus}
  - {name: b, preset: csv, path: x}
  - {name: c, path: x, url: "ftp://x/"}
  - {name: d, path: x, type: value}
`)
	_, stderr, code := command(t, "", "validate", "--config", config)
	for _, words := range []string{
		"feeds[0].headers: are for a feed with an url", `feeds[2].name: "urlhaus" is the name of an earlier feed`, "feeds[3].fields: must say which column",
		"feeds[4].url: give path or url, not both", "feeds[4].url: is not an address that begins with http", "feeds[5].columns: type value needs",
	} {
		if !strings.Contains(stderr, words) {
			t.Errorf("does not say %q", words)
		}
	}
	if code != 1 || strings.Contains(stderr, "s3cret") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
