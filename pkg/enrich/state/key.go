package state

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// A key of the changelog, which is also the local store's, is
//
//	version (1) | operator, escaped | host, escaped | the operator's own key
//
// where escaped means: each byte 00 is written 00 ff, and 00 01 ends the text.
// Escaped texts sort as the texts do, and none is the beginning of another, so
// that a host's keys can be found and moved by who knows no operator. The
// operator with the empty name is the engine: it keeps the input positions under
// the empty host, and for each host the Kafka key its records came with.
const keyVersion = 1

// The engine's own keys.
const (
	engine       = ""
	positionKeys = "position/" // + topic: the next offset to process
	kafkaKey     = "key"       // of a host
)

const (
	escape    = 0x00
	escaped   = 0xff
	endOfText = 0x01
)

var errKey = errors.New("not a key of this format")

func appendText(dst []byte, text string) []byte {
	for i := range len(text) {
		dst = append(dst, text[i])
		if text[i] == escape {
			dst = append(dst, escaped)
		}
	}
	return append(dst, escape, endOfText)
}

// textEnd is where the text that key begins with ends, without its two closing bytes,
// and whether it is as it was written.
func textEnd(key []byte) (end int, plain bool, err error) {
	plain = true
	for {
		at := bytes.IndexByte(key[end:], escape)
		if end += at; at < 0 || end+1 >= len(key) {
			return 0, false, errKey
		}
		switch key[end+1] {
		case endOfText:
			return end, plain, nil
		case escaped:
			end, plain = end+2, false
		default:
			return 0, false, errKey
		}
	}
}

func cutText(key []byte) (text string, rest []byte, err error) {
	end, plain, err := textEnd(key)
	if err != nil {
		return "", nil, err
	}
	text = string(key[:end])
	if !plain {
		text = strings.ReplaceAll(text, string([]byte{escape, escaped}), string([]byte{escape}))
	}
	return text, key[end+2:], nil
}

// checkKey is ParseKey for those who want the error, and how many bytes operator and host
// take.
func checkKey(key []byte) (scope int, err error) {
	if len(key) > 0 && key[0] == keyVersion {
		if operator, _, err := textEnd(key[1:]); err == nil {
			if host, _, err := textEnd(key[1+operator+2:]); err == nil {
				return 1 + operator + 2 + host + 2, nil
			}
		}
	}
	_, _, _, err = ParseKey(key) // which says what is wrong
	return 0, err
}

// appendScope appends the beginning of all of an operator's keys.
func appendScope(dst []byte, operator string) []byte {
	return appendText(append(dst, keyVersion), operator)
}

// AppendKey appends the changelog's key for an operator's key of a host.
func AppendKey(dst []byte, operator string, host enrich.Host, key []byte) []byte {
	return append(appendText(appendScope(dst, operator), string(host)), key...)
}

// ParseKey takes a key of the changelog apart. It is an error when the key is of
// another version or damaged. The last part shares key's bytes.
func ParseKey(key []byte) (operator string, host enrich.Host, own []byte, err error) {
	if len(key) == 0 || key[0] != keyVersion {
		return "", "", nil, fmt.Errorf("%w: %x", errKey, clip(key))
	}
	operator, rest, err := cutText(key[1:])
	if err != nil {
		return "", "", nil, fmt.Errorf("operator of %x: %w", clip(key), err)
	}
	text, own, err := cutText(rest)
	if err != nil {
		return "", "", nil, fmt.Errorf("host of %x: %w", clip(key), err)
	}
	return operator, enrich.Host(text), own, nil
}

func clip(key []byte) []byte { return key[:min(len(key), 32)] }

// after returns the first key that does not begin with prefix, nil for none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
