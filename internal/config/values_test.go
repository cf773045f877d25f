package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/config"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]config.Bytes{
		"0": 0, "4096": 4096, "7B": 7, "64KiB": 64 << 10, "1 GiB": 1 << 30, " 3MiB ": 3 << 20,
		"8388607TiB": 8388607 << 40, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := config.ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: got %d, error %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "B", "KiB", "-1", "+1", "1.5GiB", "1KB", "1kib", "1GB", "8388608TiB", "9223372036854775808", "0x10", "1_000", "1 0",
	} {
		if got, err := config.ParseBytes(text); err == nil {
			t.Errorf("%q: got %d and no error", text, got)
		}
	}
}

func TestBytesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift := rapid.SampledFrom([]uint{0, 10, 20, 30, 40}).Draw(t, "shift")
		want := config.Bytes(rapid.Int64Range(0, math.MaxInt64>>shift).Draw(t, "n") << shift)
		got, err := config.ParseBytes(want.String())
		if err != nil || got != want {
			t.Fatalf("%d is %s is %d, error %v", want, want, got, err)
		}
		if unit := strings.TrimLeft(want.String(), "0123456789"); want > 0 && shift > 0 && unit == "" {
			t.Fatalf("%d has no unit", want)
		}
	})
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0s", "2m": "2m", "120s": "2m", "90s": "1m30s", "60m": "1h", "1h0m5s": "1h0m5s", "10m": "10m", "20h": "20h", "1.5s": "1.5s",
	} {
		if got, err := config.ParseDuration(text); err != nil || got.String() != want {
			t.Errorf("%q: got %s, error %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1d", "1 s", "s"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("%q: got %s and no error", text, got)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]int64{1, 1e3, 1e6, 1e9, 60e9, 3600e9}).Draw(t, "unit")
		want := config.Duration(rapid.Int64Range(0, math.MaxInt64/unit).Draw(t, "n") * unit)
		got, err := config.ParseDuration(want.String())
		if err != nil || got != want {
			t.Fatalf("%d is %s is %d, error %v", want, want, got, err)
		}
	})
}

func TestTextOfValues(t *testing.T) {
	text, err := json.Marshal(map[string]any{"a": config.Bytes(1 << 20), "b": config.Duration(60e9)})
	if err != nil || string(text) != `{"a":"1MiB","b":"1m"}` {
		t.Errorf("got %s, error %v", text, err)
	}
}

// TestSecretIsNeverPrinted tries every way a value is turned into text.
func TestSecretIsNeverPrinted(t *testing.T) {
	type holder struct{ Password config.Secret }
	secret := config.Secret("tiger")
	held := holder{secret}
	var out strings.Builder
	for _, verb := range "vsqxXdcbeotU" { // not w: go vet lets it have errors only
		for _, flag := range []string{"", "+", "#", "10", ".2"} {
			for _, value := range []any{secret, &secret, held, &held, []config.Secret{secret}, map[string]config.Secret{"a": secret}} {
				fmt.Fprintf(&out, "%"+flag+string(verb)+"\n", value)
			}
		}
	}
	fmt.Fprintln(&out, secret, held)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("m", "secret", secret, "held", held, "group", slog.GroupValue(slog.Any("s", secret)))
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(held)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, form := range []string{"tiger", "7469676572", "TIGER", "116", "0x74", "ti\n"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q in %s", form, out.String())
		}
	}
	if secret.Reveal() != "tiger" || !strings.Contains(out.String(), "***") {
		t.Errorf("revealed %q, printed %s", secret.Reveal(), out.String())
	}
}

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\r\n")
	if got, err := config.ReadSecret("value", path); err != nil || got.Reveal() != "one" {
		t.Errorf("got %q, error %v", got.Reveal(), err)
	}
	write(" two \n\n")
	if got, err := config.ReadSecret("value", path); err != nil || got.Reveal() != " two " {
		t.Errorf("after a rotation: got %q, error %v", got.Reveal(), err)
	}
	if got, err := config.ReadSecret("value", ""); err != nil || got.Reveal() != "value" {
		t.Errorf("without a file: got %q, error %v", got.Reveal(), err)
	}
	write("\n")
	if _, err := config.ReadSecret("value", path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("of an empty file: error %v", err)
	}
	if _, err := config.ReadSecret("value", path+".not"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: error %v", err)
	}
}
