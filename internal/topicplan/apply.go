package topicplan

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long a cluster may take until all brokers know what was changed.
const patience = 15 * time.Second

// Apply makes the changes of the plan, and returns when the cluster shows them. A
// plan with a refused change is not begun. One that fails halfway is finished by
// the next.
func Apply(ctx context.Context, client *kgo.Client, s Settings, plan Plan) error {
	if n := len(plan.Refused()); n > 0 {
		return fmt.Errorf("nothing was changed: %d of %d changes are refused", n, len(plan))
	}
	admin := kadm.NewClient(client)
	for _, c := range plan {
		if err := c.apply(ctx, admin); err != nil {
			return fmt.Errorf("topic %s: %w", c.Topic, err)
		}
	}
	return await(ctx, client, s)
}

func (c Change) apply(ctx context.Context, admin *kadm.Client) error {
	switch {
	case c.Create != nil:
		return c.create(ctx, admin)
	case c.Key == partitionCount:
		return c.grow(ctx, admin)
	}
	results, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: c.Key, Value: &c.To}}, c.Topic)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	if err != nil {
		return fmt.Errorf("set %s to %s: %w", c.Key, c.To, err)
	}
	return nil
}

func (c Change) create(ctx context.Context, admin *kadm.Client) error {
	settings := map[string]*string{}
	for key, value := range c.Create.Settings {
		settings[key] = &value
	}
	r, err := admin.CreateTopic(ctx, c.Create.Partitions, c.Create.Replicas, settings, c.Topic)
	if err != nil {
		return fmt.Errorf("create: %w %s", err, r.ErrMessage)
	}
	return nil
}

func (c Change) grow(ctx context.Context, admin *kadm.Client) error {
	n, err := strconv.Atoi(c.To)
	if err != nil {
		return fmt.Errorf("partitions: %w", err)
	}
	results, err := admin.UpdatePartitions(ctx, n, c.Topic)
	if err == nil {
		err = results.Error()
	}
	if err != nil {
		return fmt.Errorf("to %d partitions: %w", n, err)
	}
	return nil
}

// await waits until a plan would be empty.
func await(ctx context.Context, client *kgo.Client, s Settings) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		have, err := Read(ctx, client, s)
		if err == nil && len(Compare(s, have)) == 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("everything was asked for, but the cluster does not show it yet (look again with plan): %w", errors.Join(err, ctx.Err()))
		}
	}
}
