package config

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// mask is what every printed secret looks like, set or not.
const mask = "***"

// Secret is a text that is never printed: every verb of fmt, slog, JSON and YAML show a
// mask. Only Reveal gives the text. Keep it in exported fields: fmt does not call the
// methods of a value in an unexported one.
type Secret string

// Reveal returns the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String returns the mask.
func (Secret) String() string { return mask }

// GoString returns the mask.
func (Secret) GoString() string { return mask }

// Format writes the mask for every verb: without it, fmt shows the text itself when the
// verb does not fit a string, as in %d.
func (Secret) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, mask) // fmt's own buffer cannot fail
}

// LogValue returns the mask.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText returns the mask, so that JSON and YAML show it too.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// ReadSecret returns what is in the file without its trailing line ends, or the value
// when no file is named. It is for the pairs password / password_file: the file wins and
// is read at each call, so a rotated one takes effect. An error names the file; an empty
// file is an error too.
func ReadSecret(value Secret, file string) (Secret, error) {
	if file == "" {
		return value, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	trimmed := strings.TrimRight(string(text), "\r\n")
	if trimmed == "" {
		return "", fmt.Errorf("read secret: %s is empty", file)
	}
	return Secret(trimmed), nil
}
