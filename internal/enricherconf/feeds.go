package enricherconf

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// Feed is a reputation feed with the secrets that its address asks for.
type Feed struct {
	reputation.Feed `yaml:",inline"`
	Headers         map[string]config.Secret `yaml:"headers" doc:"url: request headers by name, such as Auth-Key: ${THREATFOX_KEY}. They are sent to the url's host alone."`
	HeaderFiles     map[string]string        `yaml:"header_files" doc:"url: request headers by name, each read from a file at every request."`
}

// FeedList is the feeds without their secrets.
func (c *Config) FeedList() []reputation.Feed {
	list := make([]reputation.Feed, len(c.Feeds))
	for i, f := range c.Feeds {
		list[i] = f.Feed
	}
	return list
}

// Header returns the headers for the address of the feed of that name. The error
// names the file that cannot be read.
func (c *Config) Header(name string) (http.Header, error) {
	h := http.Header{}
	for _, f := range c.Feeds {
		if f.Resolved().Name != name {
			continue
		}
		for key, secret := range f.Headers {
			h.Set(key, secret.Reveal())
		}
		for key, file := range f.HeaderFiles {
			secret, err := config.ReadSecret("", file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			h.Set(key, secret.Reveal())
		}
	}
	return h, nil
}

// FeedOf reads the value of a --feed flag, [PRESET=]PATH, in which the path may be
// an URL. The feed is named after its file.
func FeedOf(flag string) Feed {
	preset, path, ok := strings.Cut(flag, "=")
	if !ok || strings.ContainsAny(preset, `/\.`) {
		preset, path = "lines", flag
	}
	base := strings.TrimRight(path, `/\`)
	base = base[strings.LastIndexAny(base, `/\`)+1:]
	name, _, _ := strings.Cut(base, ".")
	feed := reputation.NewFeed(name, path)
	feed.Preset = preset
	if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
		feed.Path, feed.URL = "", path
	}
	return Feed{Feed: feed}
}
