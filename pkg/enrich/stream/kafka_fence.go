package stream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How long it is tried to learn who lives, and to end a dead owner's transaction: a
// broker ends it anyway, at its time-out.
const (
	fenceFor   = transactionTimeout
	fencePause = 100 * time.Millisecond
)

// writerText is put before the end of a transactional id in the metadata of an offset
// commit, behind the trial: so that who takes a partition over knows whose transaction
// may still be open, and hold up all who read what is committed.
const writerText = "writer="

// signed is metadata with who writes them.
func signed(metadata, writer string) string {
	if writer == "" {
		return metadata
	}
	return strings.TrimSpace(metadata + " " + writerText + writer)
}

// writerIn is who wrote metadata, empty where they do not say.
func writerIn(metadata string) string {
	at := strings.LastIndex(metadata, writerText)
	if at < 0 || at > 0 && metadata[at-1] != ' ' {
		return ""
	}
	writer := metadata[at+len(writerText):]
	if _, err := hex.DecodeString(writer); err != nil {
		return ""
	}
	return writer
}

// fencer ends the transactions that dead owners of partitions left open.
type fencer struct {
	client func() *kgo.Client
	group  string
	writer string // this session's
	log    *slog.Logger

	stop    context.CancelFunc
	running sync.WaitGroup
	start   func(taken map[string][]int32)
}

// newFencer returns one whose start works beside, until stop is called.
func newFencer(group, writer string, client func() *kgo.Client, log *slog.Logger) *fencer {
	f := &fencer{client: client, group: group, writer: writer, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	f.start = func(taken map[string][]int32) {
		f.running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, fenceFor)
			defer cancel()
			if err := f.fence(ctx, taken); err != nil && ctx.Err() == nil {
				f.log.Warn("what a dead owner left open is for the brokers to end", "error", err)
			}
		})
	}
	return f
}

// fence ends what those left open who wrote last for the partitions, and are no members
// of the group any more. Their own commits the group refuses anyway.
func (f *fencer) fence(ctx context.Context, taken map[string][]int32) error {
	writers, err := f.writers(ctx, taken)
	if err != nil || len(writers) == 0 {
		return err
	}
	alive, err := f.alive(ctx)
	if err != nil {
		return err
	}
	for writer := range writers {
		if alive[writer] {
			continue
		}
		if err := f.end(ctx, f.group+"-"+writer); err != nil {
			return err
		}
		f.log.Info("the transaction of an owner that is gone is ended, if one was open", "writer", writer)
	}
	return nil
}

// writers are the others who wrote last for partitions, by what the group has committed.
func (f *fencer) writers(ctx context.Context, taken map[string][]int32) (map[string]bool, error) {
	offsets, err := kadm.NewClient(f.client()).FetchOffsets(ctx, f.group)
	if err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", f.group, err)
	}
	writers := map[string]bool{}
	for topic, ids := range taken {
		for _, id := range ids {
			if o, ok := offsets.Lookup(topic, id); ok {
				writers[writerIn(o.Metadata)] = true
			}
		}
	}
	delete(writers, "")
	delete(writers, f.writer)
	return writers, nil
}

// alive are the writers who are members. While a group changes it does not tell what its
// members say of themselves: that is waited for.
func (f *fencer) alive(ctx context.Context) (map[string]bool, error) {
	for {
		groups, err := kadm.NewClient(f.client()).DescribeGroups(ctx, f.group)
		if err != nil {
			return nil, fmt.Errorf("members of group %s: %w", f.group, err)
		}
		if g := groups[f.group]; g.Err == nil && g.State == "Stable" {
			alive := map[string]bool{}
			for i := range g.Members {
				if meta, ok := g.Members[i].Join.AsConsumer(); ok {
					alive[string(meta.UserData)] = true
				}
			}
			return alive, nil
		}
		if err := wait(ctx, fencePause); err != nil {
			return nil, err
		}
	}
}

// end begins an epoch of a transactional id, with which the coordinator ends what was
// open in the one before.
func (f *fencer) end(ctx context.Context, id string) error {
	for {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &id, int32(transactionTimeout.Milliseconds())
		resp, err := req.RequestWith(ctx, f.client())
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err == nil || !errors.Is(err, kerr.ConcurrentTransactions) { // it is being ended
			if err != nil {
				err = fmt.Errorf("transactional id %s: %w", id, err)
			}
			return err
		}
		if err := wait(ctx, fencePause); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
