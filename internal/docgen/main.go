// Command docgen writes docs/config.md from the configuration types and docs/metrics.md
// from the metrics, so that the pages cannot say what the programs do not do.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/loggerconf"
	"github.com/stackjoin/stackjoin/internal/metrics"
)

// The files that are generated.
const (
	page        = "docs/config.md"
	metricsPage = "docs/metrics.md"
)

const intro = `# Configuration

Generated from the code by ` + "`make docs`" + `; do not edit.

Both programs read one YAML file. It is read strictly: an unknown key, a wrong type or a duplicate is an error with file, line and the nearest key that exists, and everything that is wrong is told in one go (` + "`logger-ext --check`, `enricher validate`" + `). Values may hold ` + "`${NAME}` and `${NAME:-default}`" + `, taken from the environment; a list that is one variable is split at commas. Sizes are numbers with B, KiB, MiB, GiB or TiB, durations as in 500ms, 30s, 2h.

A secret can stand in the file, come from a variable, or better from a file of its own (` + "`password_file`" + ` and its like), which is read again for each connection.

`

func main() {
	if err := errors.Join(run(page, write), run(metricsPage, metrics.Document)); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil { //nolint:gosec // a page for everybody
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// write writes the whole page.
func write(w io.Writer) error {
	if _, err := io.WriteString(w, intro); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if err := config.Document(w, "logger-ext", loggerconf.Config{}); err != nil {
		return fmt.Errorf("logger-ext: %w", err)
	}
	if err := config.Document(w, "enricher", enricherconf.Config{}); err != nil {
		return fmt.Errorf("enricher: %w", err)
	}
	return nil
}
