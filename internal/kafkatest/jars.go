package kafkatest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// findJars returns the folder with Kafka's jars, or what is missing.
func findJars() (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("java is missing: %w", err)
	}
	root, err := repository()
	if err != nil {
		return "", err
	}
	version, err := pinned(filepath.Join(root, "scripts", "versions.env"), "KAFKA_VERSION")
	if err != nil {
		return "", err
	}
	cache := os.Getenv("STACKJOIN_CACHE")
	if cache == "" {
		cache = filepath.Join(root, ".bin")
	}
	libs := filepath.Join(cache, "kafka-"+version)
	if _, err := os.Stat(libs); err != nil {
		return "", fmt.Errorf("the jars are missing, run scripts/kafka.sh fetch: %w", err)
	}
	return libs, nil
}

// repository returns the folder of go.mod, above a test's working folder.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the repository: no go.mod above the test")
		}
	}
}

// pinned returns the value of a NAME=value line.
func pinned(file, name string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("pinned versions: %w", err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+"="); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("pinned versions: no %s in %s", name, file)
}
