package route

import (
	"encoding/json"
	"fmt"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// ArchiveState is the name of the state that an Archive is over.
const ArchiveState = "archive"

// archived is the one key under which a fact is kept: the key it came with is in a host's
// place, so that it goes with its part of the hash space when a shard is split.
const archived = "f"

// Archive keeps the newest fact of each key, where facts come by a stream that keeps all
// for a time instead of the newest for good. It implements enrich.Router.
type Archive struct{ state enrich.State }

// NewArchive returns an Archive over what state holds.
func NewArchive(state enrich.State) *Archive { return &Archive{state} }

// Route keeps a fact, or forgets one that is deleted. What is neither is left out: each
// process that learns of facts tells it.
func (a *Archive) Route(in *enrich.Input, _ func(*enrich.Call) error, _ *enrich.Out) (taken bool, err error) {
	key := enrich.Host(in.Key)
	switch deleted, fact := whatOf(in.Value); {
	case key == "":
	case deleted:
		err = a.state.Delete(key, []byte(archived))
	case fact:
		err = a.state.Put(key, []byte(archived), in.Value)
	}
	if err != nil {
		return true, fmt.Errorf("fact %s: %w", key, err)
	}
	return true, nil
}

// Again implements enrich.Router: facts hold no calls.
func (*Archive) Again(*enrich.Input, func(*enrich.Call) error) (taken bool, err error) {
	return true, nil
}

// whatOf tells whether a value deletes a fact, or states one.
func whatOf(value []byte) (deleted, fact bool) {
	if key, err := owner.Deleted(value); err == nil && key != "" {
		return true, false
	}
	var head struct {
		Kind string `json:"kind"`
	}
	return false, json.Unmarshal(value, &head) == nil && head.Kind != ""
}
