// Package schemas holds the JSON Schemas (2020-12) of the records that this
// project writes, by major version, and golden samples of each. They are
// embedded, so that a program can hand out the schema of what it writes.
//
// It must never validate records where they are made: schemas are for readers
// and for tests, which use the package schematest.
package schemas

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// FS holds the schemas as v<major>/<record>.json and their samples as
// v<major>/samples/<record>-<what>.json.
//
//go:embed v1/*.json v1/samples/*.json
var FS embed.FS

// prefix begins the name of every record of ours.
const prefix = "stackjoin."

// Names returns the names of all schemas, as records and headers spell them
// ("stackjoin.row/1"), in alphabetical order.
func Names() []string {
	files, err := fs.Glob(FS, "v*/*.json")
	if err != nil {
		return nil // only for a bad pattern
	}
	names := make([]string, 0, len(files))
	for _, file := range files {
		major, record := path.Split(file)
		names = append(names, prefix+strings.TrimSuffix(record, ".json")+"/"+strings.Trim(major, "v/"))
	}
	return names
}

// ID returns the $id of the schema of that name.
func ID(name string) string {
	return "https://stackjoin.dev/schemas/" + strings.TrimPrefix(name, prefix) + ".json"
}

// Read returns the text of the schema of that name.
func Read(name string) ([]byte, error) {
	dir, record := place(name)
	text, err := FS.ReadFile(path.Join(dir, record+".json"))
	if err != nil {
		return nil, fmt.Errorf("no schema %q: %w", name, err)
	}
	return text, nil
}

// Samples returns golden records of the schema of that name, by file name.
func Samples(name string) (map[string][]byte, error) {
	dir, record := place(name)
	files, err := fs.Glob(FS, path.Join(dir, "samples", record+"-*.json"))
	if err != nil {
		return nil, fmt.Errorf("samples of %q: %w", name, err)
	}
	samples := make(map[string][]byte, len(files))
	for _, file := range files {
		if samples[path.Base(file)], err = FS.ReadFile(file); err != nil {
			return nil, fmt.Errorf("samples of %q: %w", name, err)
		}
	}
	return samples, nil
}

// place splits "stackjoin.row/1" into "v1" and "row".
func place(name string) (dir, record string) {
	record, major, _ := strings.Cut(strings.TrimPrefix(name, prefix), "/")
	return "v" + major, record
}
