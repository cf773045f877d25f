package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// What goes through the socket.
const (
	rowsPerCall    = 100
	socketCalls    = 600
	socketRounds   = 5
	barSocketCPU   = 2.0
	distinctCalls  = 100
	producerTopic  = "plain"
	resultsTopic   = "osquery.results"
	deadLetterName = "osquery.deadletter"
)

// socket measures a row's whole way, from osqueryd's call over the disk to the
// broker's acknowledgement, beside a plain producer that has the rows in memory.
func (b *bench) socket(ctx context.Context) error {
	for _, codec := range []string{"zstd", "snappy"} {
		var ours, plain, same []float64
		for range socketRounds {
			if err := b.socketRound(ctx, codec, &ours, &plain, &same); err != nil {
				return err
			}
		}
		ratio := median(ratios(ours, plain))
		b.table.atMost("logger-ext / producer: CPU per row, "+codec, fmt.Sprintf("%.2fx, %.2f us against %.2f us",
			ratio, median(ours), median(plain)), ratio, barSocketCPU)
		b.table.note("  the producer sending the same bytes", fmt.Sprintf("%.2fx, names and headers are %.2f us of ours",
			median(ratios(ours, same)), median(same)-median(plain)))
	}
	return nil
}

// socketRound adds the CPU microseconds per row of one round of each contender.
func (b *bench) socketRound(ctx context.Context, codec string, ours, plain, same *[]float64) error {
	return b.withHost(ctx, "compression: "+codec+"\n", func(h *loggertest.Host, br *broker) error {
		spent, err := throughSocket(ctx, h, br)
		if err != nil {
			return err
		}
		*ours = append(*ours, perRow(spent))
		for source, costs := range map[string]*[]float64{"generated": plain, "shipped": same} {
			u, err := spawn(ctx, "producer", br.addr, codec, source, strconv.Itoa(socketCalls*rowsPerCall))
			if err != nil {
				return err
			}
			*costs = append(*costs, perRow(u.CPU))
		}
		return nil
	})
}

func perRow(cpu time.Duration) float64 { return cpu.Seconds() * 1e6 / (socketCalls * rowsPerCall) }

// throughSocket logs the calls and returns logger-ext's CPU until all rows are on
// the broker.
func throughSocket(ctx context.Context, h *loggertest.Host, br *broker) (time.Duration, error) {
	rows := loggertest.NewRows(1)
	calls := make([]string, distinctCalls)
	for i := range calls {
		calls[i] = rows.Call(rowsPerCall)
	}
	if err := h.LogString(ctx, calls[0]); err != nil { // connects
		return 0, err
	}
	if err := awaitRecords(ctx, br.addr, resultsTopic, rowsPerCall); err != nil {
		return 0, err
	}
	pid, _ := h.PID()
	before, err := loggertest.CPU(pid)
	if err != nil {
		return 0, err
	}
	for i := range socketCalls {
		if err := h.LogString(ctx, calls[i%len(calls)]); err != nil {
			return 0, err
		}
	}
	if err := awaitRecords(ctx, br.addr, resultsTopic, (socketCalls+1)*rowsPerCall); err != nil {
		return 0, err
	}
	after, err := loggertest.CPU(pid)
	return after - before, err
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
	codec := kgo.ZstdCompression()
	if args[1] == "snappy" {
		codec = kgo.SnappyCompression()
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
