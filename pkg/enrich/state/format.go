package state

import (
	"errors"
	"fmt"
)

// Format is the version of what a changelog's values look like. Each value begins
// with its format as one byte; the operator's value is after it. In Format 2 those of
// the joins tell where each row was read; in Format 1 they do not. A process reads
// its newest format and the one before, and writes which of the two it was told to: a
// fleet is upgraded first, and told to write the new one after, so that it can go back
// until then.
const Format = 2

// ErrFormat is returned for a value of a format this process does not read: a
// newer process wrote it.
var ErrFormat = errors.New("state of a newer format")

// formats are what a Store reads and writes.
type formats struct {
	newest, writes byte
}

func newFormats(newest, writes int) (formats, error) {
	if writes == 0 {
		writes = newest
	}
	if writes > newest || writes < max(1, newest-1) {
		return formats{}, fmt.Errorf("state format %d: this version writes %d or the one before it, from 1 on", writes, newest)
	}
	return formats{byte(newest), byte(writes)}, nil
}

// reads tells whether a changelog's value can be taken in.
func (f formats) reads(value []byte) error {
	if len(value) < 2 {
		return errors.New("value without a format")
	}
	if v := value[0]; v > f.newest {
		return fmt.Errorf("%w: %d, this version reads up to %d: start the newer version again, or tell it state.format: %d and let it rewrite its state first",
			ErrFormat, v, f.newest, f.newest)
	} else if v == 0 || v+1 < f.newest {
		return fmt.Errorf("state of format %d, this version reads %d and the one before: run the version between once", v, f.newest)
	}
	return nil
}
