package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/loggerconf"
	"github.com/stackjoin/stackjoin/internal/loggerstat"
	"github.com/stackjoin/stackjoin/internal/redact"
	"github.com/stackjoin/stackjoin/internal/route"
)

// settings is a configuration in use and what was made of it. It does not change.
type settings struct {
	// cfg says what to ship where; nil ships nothing.
	cfg    *loggerconf.Config
	limits loggerconf.Spool
	state  loggerstat.ConfigState
	// hash names the file that cfg was read from.
	hash string
	// wrong is why cfg is not what the file says.
	wrong  error
	routes *route.Table
	rules  *redact.Rules
}

// Names of the files beside the spool.
const (
	goodName = "last-good.yaml" // the last configuration that was right
	keyName  = "redact.key"     // of the digests of what was redacted, where no key is configured
)

// load reads the configuration at path, or when it is wrong the last good one, or
// none: then calls are spooled and wait. The spool's lock is held.
func load(path, spoolDir string, log *slog.Logger) *settings {
	s, err := read(path, spoolDir)
	if err == nil {
		keepGood(path, spoolDir, log)
		return s
	}
	log.Error("the configuration is wrong", "file", path, "error", err)
	good := filepath.Join(spoolDir, goodName)
	last, lastErr := read(good, spoolDir)
	if lastErr != nil {
		defaults, _ := loggerconf.Load(os.DevNull) // an empty file is all defaults
		return &settings{limits: defaults.Spool, state: loggerstat.ConfigNone, wrong: err}
	}
	last.state, last.wrong = loggerstat.ConfigLastGood, err
	log.Warn("running on the last good configuration", "file", good)
	return last
}

// read makes settings of a file, or tells what is wrong with it.
func read(path, spoolDir string) (*settings, error) {
	cfg, err := loggerconf.Load(path)
	if err != nil {
		return nil, err
	}
	s := &settings{cfg: cfg, limits: cfg.Spool, state: loggerstat.ConfigOK, hash: hashOf(path)}
	if len(cfg.Routes) > 0 {
		if s.routes, err = route.Compile(cfg.Routes, cfg.PackDelimiter); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if len(cfg.Redact.Rules) > 0 {
		key, err := redactKey(cfg, spoolDir)
		if err != nil {
			return nil, fmt.Errorf("%s: redact: %w", path, err)
		}
		if s.rules, err = redact.Compile(cfg.Redact.Rules, key); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return s, nil
}

// hashOf names a file's content, empty when it cannot be read.
func hashOf(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// redactKey is the configured key, or one that is drawn once and kept.
func redactKey(cfg *loggerconf.Config, spoolDir string) ([]byte, error) {
	if cfg.Redact.Key != "" || cfg.Redact.KeyFile != "" {
		secret, err := config.ReadSecret(cfg.Redact.Key, cfg.Redact.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		return []byte(secret.Reveal()), nil
	}
	path := filepath.Join(spoolDir, keyName)
	key, err := os.ReadFile(path)
	if err == nil && len(key) >= 32 {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key: %w", err)
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	if err := replaceFile(path, key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}

// keepGood copies the configuration beside the spool. Values from the environment
// stay names in it.
func keepGood(path, spoolDir string, log *slog.Logger) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = replaceFile(filepath.Join(spoolDir, goodName), text)
	}
	if err != nil {
		log.Warn("the configuration is not kept as last good one", "error", err)
	}
}

// replaceFile writes a file that only we may read, whole or not at all.
func replaceFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err //nolint:wrapcheck // os names the file
	}
	return os.Rename(path+".new", path) //nolint:wrapcheck // os names the file
}
