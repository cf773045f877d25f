package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/config"
)

// Shared is inlined into sample.
type Shared struct {
	Level string `yaml:"level" default:"info" enum:"info|debug" doc:"How much to log."`
}

type sample struct {
	Shared  `yaml:",inline"`
	Brokers []string          `yaml:"brokers" default:"a:1, b:2" doc:"Where to connect."`
	Size    config.Bytes      `yaml:"size" default:"64KiB" doc:"How large."`
	Wait    config.Duration   `yaml:"wait" default:"2m" doc:"How long."`
	Count   int               `yaml:"count" default:"3" doc:"How many."`
	Small   int8              `yaml:"small" doc:"A small number."`
	Port    uint16            `yaml:"port" doc:"A port."`
	Ratio   float64           `yaml:"ratio" default:"0.5" doc:"How much | of it."`
	On      bool              `yaml:"on" doc:"Whether."`
	Labels  map[string]string `yaml:"labels" doc:"What to add."`
	Modes   []string          `yaml:"modes" enum:"x|y" doc:"Which ways."`
	Auth    auth              `yaml:"auth"`
	Extra   *extra            `yaml:"extra" doc:"Something more."`
	Feeds   []feed            `yaml:"feeds" doc:"Where to read."`
	Ignored string            `yaml:"-"`
}

type auth struct {
	User     string        `yaml:"user" default:"" doc:"Who."`
	Password config.Secret `yaml:"password" doc:"The password of user."`
}

type extra struct {
	Path  string        `yaml:"path" default:"/tmp" doc:"Where."`
	Since config.Bytes  `yaml:"since" doc:"From what size."`
	Token config.Secret `yaml:"token" doc:"A token."`
}

type feed struct {
	Name  string          `yaml:"name" doc:"The name."`
	Every config.Duration `yaml:"every" default:"1h" doc:"How often."`
}

func (a *auth) Validate() []config.Problem {
	if a.User == "" && a.Password != "" {
		return []config.Problem{{Key: "user", Message: "needed with a password"}}
	}
	return nil
}

func (f feed) Validate() []config.Problem {
	if f.Name == "" {
		return []config.Problem{{Key: "name", Message: "needed"}}
	}
	return nil
}

func variables(name string) (string, bool) {
	value, set := map[string]string{
		"HOST": "h1", "LIST": "x:1, y:2,,", "EMPTY": "", "PASS": "s3cr3t: [x]", "NUM": "7", "NEST": "${HOST}",
	}[name]
	return value, set
}

func defaults() sample {
	return sample{
		Shared: Shared{Level: "info"}, Brokers: []string{"a:1", "b:2"}, Size: 64 << 10,
		Wait: config.Duration(2 * time.Minute), Count: 3, Ratio: 0.5,
	}
}

func TestDefaults(t *testing.T) {
	var got sample
	if err := config.Defaults(&got); err != nil {
		t.Fatal(err)
	}
	if want := defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestParse(t *testing.T) {
	hour := config.Duration(time.Hour)
	for name, c := range map[string]struct {
		text string
		want func(*sample)
	}{
		"empty":        {"", func(*sample) {}},
		"comment only": {"# nothing\n", func(*sample) {}},
		"byte order":   {"\ufeffcount: 4\n", func(s *sample) { s.Count = 4 }},
		"crlf":         {"count: 4\r\non: true\r\n", func(s *sample) { s.Count, s.On = 4, true }},
		"scalars": {
			"level: debug\nsize: 1GiB\nwait: 90s\ncount: -5\nsmall: -128\nport: 65535\nratio: 1e3\non: true\n",
			func(s *sample) {
				s.Level, s.Size, s.Wait = "debug", 1<<30, config.Duration(90*time.Second)
				s.Count, s.Small, s.Port, s.Ratio, s.On = -5, -128, 65535, 1000, true
			},
		},
		"list replaces":      {"brokers: [c:3]\n", func(s *sample) { s.Brokers = []string{"c:3"} }},
		"empty list":         {"brokers: []\n", func(s *sample) { s.Brokers = []string{} }},
		"list by variable":   {"brokers: ${LIST}\n", func(s *sample) { s.Brokers = []string{"x:1", "y:2"} }},
		"list by default":    {"brokers: ${NONE:-p,q}\n", func(s *sample) { s.Brokers = []string{"p", "q"} }},
		"list, empty":        {"brokers: ${EMPTY}\n", func(s *sample) { s.Brokers = []string{} }},
		"item by variable":   {"brokers:\n- ${HOST}:1\n", func(s *sample) { s.Brokers = []string{"h1:1"} }},
		"item not split":     {"brokers:\n- ${LIST}\n", func(s *sample) { s.Brokers = []string{"x:1, y:2,,"} }},
		"number by variable": {"count: \"${NUM}\"\nsmall: ${NUM}0\n", func(s *sample) { s.Count, s.Small = 7, 70 }},
		"empty takes default": {
			"auth: {user: \"${EMPTY:-root}\"}\n", func(s *sample) { s.Auth.User = "root" },
		},
		"value is not YAML": {
			"auth: {user: u, password: \"${PASS}\"}\n",
			func(s *sample) { s.Auth = auth{"u", "s3cr3t: [x]"} },
		},
		"not expanded twice": {"auth: {user: \"${NEST}\"}\n", func(s *sample) { s.Auth.User = "${HOST}" }},
		"escaped":            {"auth:\n  user: a$${HOST}$b${HOST}\n", func(s *sample) { s.Auth.User = "a${HOST}$bh1" }},
		"literal block":      {"auth:\n  user: |-\n    a\n    b\n", func(s *sample) { s.Auth.User = "a\nb" }},
		"number as text":     {"auth: {user: 0123}\n", func(s *sample) { s.Auth.User = "0123" }},
		"map":                {"labels:\n  site: ${HOST}\n  ${X}: y\n", func(s *sample) { s.Labels = map[string]string{"site": "h1", "${X}": "y"} }},
		"absent section":     {"auth:\n", func(*sample) {}},
		"optional":           {"extra:\n  since: 1KiB\n", func(s *sample) { s.Extra = &extra{Path: "/tmp", Since: 1024} }},
		"optional, empty":    {"extra:\n", func(s *sample) { s.Extra = &extra{Path: "/tmp"} }},
		"list of sections": {
			"feeds:\n- name: a\n- name: b\n  every: 5s\n",
			func(s *sample) { s.Feeds = []feed{{"a", hour}, {"b", config.Duration(5 * time.Second)}} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := defaults()
			c.want(&want)
			var got sample
			if err := config.Parse("f.yaml", []byte(c.text), &got, variables); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("count: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := config.Load(path, &got, nil); err != nil || got.Count != 9 {
		t.Errorf("count %d, error %v", got.Count, err)
	}
	err := config.Load(path+".not", &got, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path+".not") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("count: ${NUM}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var broken *config.Errors
	if err := config.Load(path, &got, nil); !errors.As(err, &broken) || broken.File != path {
		t.Errorf("error %v", err)
	}
}

type recursive struct {
	Next *recursive `yaml:"next"`
}

func TestMistakesInTheType(t *testing.T) {
	for name, into := range map[string]any{
		"not a pointer": sample{},
		"nil":           (*sample)(nil),
		"no struct":     new(int),
		"no tag":        &struct{ A int }{},
		"bad type": &struct {
			A chan int `yaml:"a"`
		}{},
		"bad default": &struct {
			A int `yaml:"a" default:"x"`
		}{},
		"default not allowed": &struct {
			A string `yaml:"a" default:"x" enum:"y|z"`
		}{},
		"default of a map": &struct {
			A map[string]string `yaml:"a" default:"x"`
		}{},
		"twice": &struct {
			A int `yaml:"a"`
			B int `yaml:"a"`
		}{},
		"recursive": &recursive{},
	} {
		t.Run(name, func(t *testing.T) {
			var broken *config.Errors
			if err := config.Defaults(into); err == nil || errors.As(err, &broken) {
				t.Errorf("error %v", err)
			}
			if err := config.Parse("f", nil, into, nil); err == nil || errors.As(err, &broken) {
				t.Errorf("error %v", err)
			}
		})
	}
}
