package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	enrichstate "github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// What is restored, and how many processes live at once.
const (
	restoreRecords  = 400_000
	restoreKeys     = 200_000
	restoreHosts    = 500
	restoreBytes    = 180 // of a value: about a process
	restoreRounds   = 3
	barRestore      = 3
	barRestoreEach  = 2 // us
	liveHosts       = 100
	liveEach        = 300
	barProcessBytes = 600
	changelogTopic  = "plain"
)

// state measures what the joins remember: to get it back, and to have it in memory.
func (b *bench) state(ctx context.Context) error {
	if err := b.restore(ctx); err != nil {
		return err
	}
	return b.liveProcesses(ctx)
}

// restore measures a changelog that is read into a local store on disk beside one that
// is only read, committed records only, in turns.
func (b *bench) restore(ctx context.Context) error {
	br, err := startBroker(ctx)
	if err != nil {
		return err
	}
	defer br.stop()
	if err := writeChangelog(ctx, br.addr); err != nil {
		return err
	}
	var ratios, each []float64
	for round := range restoreRounds {
		plain, err := spawn(ctx, "changelog", br.addr, "-")
		if err != nil {
			return err
		}
		dir := filepath.Join(b.dir, "restored-"+strconv.Itoa(round))
		ours, err := spawn(ctx, "changelog", br.addr, dir)
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
		ratios = append(ratios, float64(ours.CPU)/float64(plain.CPU))
		each = append(each, float64(ours.CPU.Nanoseconds())/1000/restoreRecords)
	}
	b.table.atMost("restore / read of the changelog: CPU", fmt.Sprintf("%.2fx of %d records", median(ratios), restoreRecords), median(ratios), barRestore)
	b.table.atMost("restore: CPU per record", fmt.Sprintf("%.2f us", median(each)), median(each), barRestoreEach)
	return nil
}

// writeChangelog writes a changelog, each key twice.
func writeChangelog(ctx context.Context, addr string) error {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // data to measure with
	at := 0
	return writeInTransactions(ctx, addr, 4000, func() *kgo.Record {
		if at == restoreRecords {
			return nil
		}
		n := at * 7919 % restoreKeys
		at++
		return stateRecord(r, changelogTopic, fmt.Sprintf("0f9a6c1e-7d2b-4c1f-9a55-2f4f6f%06d", n%restoreHosts), uint64(n)) //nolint:gosec // not negative
	})
}

// stateRecord is what the changelog has of a process, about as large as they are.
func stateRecord(r *rand.Rand, topic, host string, n uint64) *kgo.Record {
	value := []byte{enrichstate.Format}
	for len(value) < restoreBytes { // half of it is like others', as paths are
		value = append(binary.BigEndian.AppendUint64(value, r.Uint64()), "/usr/bin"...)
	}
	key := binary.BigEndian.AppendUint64([]byte{'v'}, n)
	return &kgo.Record{Topic: topic, Key: enrichstate.AppendKey(nil, "process", enrich.Host(host), key), Value: value}
}

// writeInTransactions writes what next returns, until that is nil, so many records in each
// transaction, to the partitions that they name.
func writeInTransactions(ctx context.Context, addr string, transaction int, next func() *kgo.Record) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("bench"), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	for r := next(); r != nil; {
		if err := client.BeginTransaction(); err != nil {
			return fmt.Errorf("kafka: %w", err)
		}
		records := make([]*kgo.Record, 0, transaction)
		for ; r != nil && len(records) < transaction; r = next() {
			records = append(records, r)
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("kafka: %w", err)
		}
		if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return fmt.Errorf("kafka: %w", err)
		}
	}
	return nil
}

// changelogChild reads the changelog as a restore does, into a folder or to nowhere.
func changelogChild(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("broker and folder are needed")
	}
	return measured(func() (int64, error) {
		const most = 8 << 20
		client, err := kgo.NewClient(kgo.SeedBrokers(args[0]),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{changelogTopic: {0: kgo.NewOffset().AtStart()}}),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
			kgo.FetchMaxBytes(most), kgo.FetchMaxPartitionBytes(most), kgo.DisableFetchSessions())
		if err != nil {
			return 0, fmt.Errorf("kafka: %w", err)
		}
		defer client.Close()
		if args[1] == "-" {
			return 0, readChangelog(ctx, client, func([]enrichstate.Change, int64) error { return nil })
		}
		store, _, err := enrichstate.Open(enrichstate.Config{Dir: args[1], Of: enrichstate.Changelog{Topic: changelogTopic}})
		if err != nil {
			return 0, fmt.Errorf("state: %w", err)
		}
		bulk := store.Bulk()
		err = readChangelog(ctx, client, bulk.Add)
		return 0, errors.Join(err, bulk.Close(), store.Close())
	})
}

func readChangelog(ctx context.Context, client *kgo.Client, take func([]enrichstate.Change, int64) error) error {
	var changes []enrichstate.Change
	for n := 0; n < restoreRecords; n += len(changes) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("kafka: %w", err)
		}
		changes = changes[:0]
		var next int64
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				changes = append(changes, enrichstate.Change{Key: r.Key, Value: r.Value})
			}
		})
		if err := take(changes, next); err != nil {
			return err
		}
	}
	return nil
}

// nowhere is a state that keeps nothing.
type nowhere struct{}

func (nowhere) Get(enrich.Host, []byte) ([]byte, error)                       { return nil, nil }
func (nowhere) Put(enrich.Host, []byte, []byte) error                         { return nil }
func (nowhere) Delete(enrich.Host, []byte) error                              { return nil }
func (nowhere) Scan(enrich.Host, []byte, func(key, value []byte) error) error { return nil }
func (nowhere) Hosts(func(enrich.Host) error) error                           { return nil }

// liveProcesses measures the heap of processes that live, with a command line of a
// hundred bytes of its own each, and the paths of sixty programs.
func (b *bench) liveProcesses(ctx context.Context) error {
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{process.New(process.Config{}, nowhere{})}, nil)
	var out enrich.Out
	start := time.Now().Add(-time.Hour).Unix()
	before := liveHeap()
	for h := range liveHosts {
		for i := range liveEach {
			row := fmt.Sprintf(`{"name":"process_events","hostIdentifier":"host-%d","columns":{"pid":"%d","parent":"1","path":"/usr/lib/some-package/bin/program-%d",`+
				`"cmdline":"%0100d","cwd":"/var/lib/x","uid":"33","auid":"4294967295","syscall":"execve","time":"%d"}}`, h, i+2, i%60, h*liveEach+i, start+int64(i))
			if err := p.Process(ctx, enrich.Input{Value: []byte(row)}, &out); err != nil {
				return fmt.Errorf("process join: %w", err)
			}
			out.Reset()
		}
	}
	out = enrich.Out{}
	each := float64(liveHeap()-before) / (liveHosts * liveEach)
	runtime.KeepAlive(p)
	b.table.atMost("joins: bytes per live process", fmt.Sprintf("%.0f B, all of the heap", each), each, barProcessBytes)
	return nil
}
