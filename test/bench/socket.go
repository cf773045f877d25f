package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// What goes through the socket.
const (
	rowsPerCall    = 100
	socketCalls    = 600
	socketRounds   = 5
	barSocketCPU   = 1.0 // docs/decisions/2026-11-26-cpu-per-row.md
	distinctCalls  = 100
	producerTopic  = "plain"
	resultsTopic   = "osquery.results"
	deadLetterName = "osquery.deadletter"
)

// socket measures a row's whole way, from osqueryd's call over the disk to the
// broker's acknowledgement, beside the least there can be: a bare extension that
// writes and syncs, and a producer of the same bytes.
func (b *bench) socket(ctx context.Context) error {
	for _, codec := range []string{"zstd", "snappy"} {
		var c socketCosts
		for range socketRounds {
			if err := b.socketRound(ctx, codec, &c); err != nil {
				return err
			}
			least, err := b.floor(ctx)
			if err != nil {
				return err
			}
			c.floor = append(c.floor, least+c.same[len(c.same)-1])
		}
		ratio := median(ratios(c.ours, c.floor))
		b.table.atMost("logger-ext / the least there can be: CPU per row, "+codec, fmt.Sprintf("%.2fx, %.2f us against %.2f us",
			ratio, median(c.ours), median(c.floor)), ratio, barSocketCPU)
		b.table.note("  beside a plain producer", fmt.Sprintf("%.2fx, %.2f us", median(ratios(c.ours, c.plain)), median(c.plain)))
		if len(c.usual) > 0 {
			b.table.note("  beside a producer at its own level", fmt.Sprintf("%.2fx, %.2f us", median(ratios(c.ours, c.usual)), median(c.usual)))
		}
		b.table.note("  the producer sending the same bytes", fmt.Sprintf("%.2f us", median(c.same)))
		b.table.note("  with the broker held for a while", fmt.Sprintf("%.2f us to accept, then %.2f us to ship, %.2fx together",
			median(c.accept), median(c.ship), (median(c.accept)+median(c.ship))/median(c.plain)))
	}
	return nil
}

// socketCosts are CPU microseconds per row, one of each per round.
type socketCosts struct {
	ours        []float64 // as rows come
	accept      []float64 // until they are durable, while the broker does not answer
	ship        []float64 // what was accepted so
	plain, same []float64 // a producer of the rows alone, and of the bytes that we sent
	floor       []float64 // of an extension that does the least, and of that producer
	usual       []float64 // that of the rows alone, at the level a producer has by itself
}

func (b *bench) socketRound(ctx context.Context, codec string, c *socketCosts) error {
	return b.withHost(ctx, "compression: "+codec+"\n", func(h *loggertest.Host, br *broker) error {
		m := &meter{host: h, broker: br, calls: distinct()}
		if err := m.whole(ctx, c); err != nil {
			return err
		}
		for _, p := range []struct {
			codec, source string
			costs         *[]float64
		}{{codec, "generated", &c.plain}, {codec, "shipped", &c.same}, {codec + "-usual", "generated", &c.usual}} {
			if p.codec == "snappy-usual" {
				continue // it has no levels
			}
			u, err := spawn(ctx, "producer", br.addr, p.codec, p.source, strconv.Itoa(socketCalls*rowsPerCall))
			if err != nil {
				return err
			}
			*p.costs = append(*p.costs, perRow(u.CPU))
		}
		return nil
	})
}

func perRow(cpu time.Duration) float64 { return cpu.Seconds() * 1e6 / (socketCalls * rowsPerCall) }

// meter logs calls and reads logger-ext's CPU between them.
type meter struct {
	host   *loggertest.Host
	broker *broker
	calls  []string
	sent   int64
	last   time.Duration
}

func distinct() []string {
	rows := loggertest.NewRows(1)
	calls := make([]string, distinctCalls)
	for i := range calls {
		calls[i] = rows.Call(rowsPerCall)
	}
	return calls
}

// whole measures the calls as they come, then as many with the broker held.
func (m *meter) whole(ctx context.Context, c *socketCosts) error {
	var warm []float64
	for _, step := range []struct {
		work func(context.Context) error
		into *[]float64
	}{
		{m.warm, &warm},
		{m.live, &c.ours},
		{m.hold, &c.accept},
		{m.release, &c.ship},
	} {
		if err := m.step(func() error { return step.work(ctx) }, step.into); err != nil {
			return err
		}
	}
	return nil
}

// step does work and notes what CPU the extension took for it.
func (m *meter) step(work func() error, into *[]float64) error {
	if err := work(); err != nil {
		return err
	}
	pid, _ := m.host.PID()
	now, err := loggertest.CPU(pid)
	if err != nil {
		return err //nolint:wrapcheck // it says what
	}
	*into = append(*into, perRow(now-m.last))
	m.last = now
	return nil
}

func (m *meter) log(ctx context.Context, calls int) error {
	for i := range calls {
		if err := m.host.LogString(ctx, m.calls[i%len(m.calls)]); err != nil {
			return err //nolint:wrapcheck // it says what
		}
		m.sent += rowsPerCall
	}
	return nil
}

func (m *meter) arrived(ctx context.Context) error {
	return awaitRecords(ctx, m.broker.addr, resultsTopic, m.sent)
}

// warm connects and grows what grows.
func (m *meter) warm(ctx context.Context) error {
	return errors.Join(m.log(ctx, socketCalls/4), m.arrived(ctx))
}

func (m *meter) live(ctx context.Context) error {
	return errors.Join(m.log(ctx, socketCalls), m.arrived(ctx))
}

func (m *meter) hold(ctx context.Context) error {
	return errors.Join(m.broker.signal(syscall.SIGSTOP), m.log(ctx, socketCalls))
}

func (m *meter) release(ctx context.Context) error {
	return errors.Join(m.broker.signal(syscall.SIGCONT), m.arrived(ctx))
}

// producerChild sends rows that it has in memory: its arguments are the broker,
// the codec, where the rows come from, and how many.
func producerChild(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return errors.New("broker, codec, source and number are needed")
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return fmt.Errorf("number of rows: %w", err)
	}
	codec := kgo.ZstdCompression().WithLevel(int(zstd.SpeedFastest)) // as the sink's
	switch args[1] {
	case "snappy":
		codec = kgo.SnappyCompression()
	case "zstd-usual":
		codec = kgo.ZstdCompression()
	}
	records, err := recordsOf(ctx, args[0], args[2], n)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(args[0]), kgo.ProducerBatchCompression(codec), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return fmt.Errorf("producer: %w", err)
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("producer: %w", err)
	}
	return measured(func() (int64, error) { return 0, produce(ctx, client, records) })
}

func produce(ctx context.Context, client *kgo.Client, records []*kgo.Record) error {
	failures := make(chan error, 1)
	for _, r := range records {
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failures <- err:
				default: // the first is enough
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("producer: %w", err)
	}
	select {
	case err := <-failures:
		return fmt.Errorf("producer: %w", err)
	default:
		return nil
	}
}

// recordsOf makes n records of the rows alone, or reads back n that logger-ext
// sent.
func recordsOf(ctx context.Context, addr, source string, n int) (records []*kgo.Record, err error) {
	if source == "generated" {
		rows := loggertest.NewRows(1)
		line := rows.Line()
		for range n {
			records = append(records, &kgo.Record{Topic: producerTopic, Key: []byte("6f1c9b1e-7d5c-4c55-9d6e-000000000001"), Value: []byte(line.Event("added", rows.Row()))})
		}
		return records, nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(resultsTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, fmt.Errorf("read what was shipped: %w", err)
	}
	defer client.Close()
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read what was shipped: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, &kgo.Record{Topic: producerTopic, Key: r.Key, Value: r.Value, Headers: r.Headers})
		})
	}
	return records[:n], nil
}
