package reshard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// check refuses what could lose state, and learns the bounds of the topics.
func (m *move) check(ctx context.Context) error {
	if m.From == m.To {
		return fmt.Errorf("reshard: %s is both the old group and the new one: give the new one a name, so that the old one can be gone back to", m.To)
	}
	if err := m.idle(ctx); err != nil {
		return err
	}
	if err := m.drained(ctx); err != nil {
		return err
	}
	var err error
	if m.ends, err = m.admin.ListEndOffsets(ctx, m.FromState, m.ToState); err == nil {
		err = m.ends.Error()
	}
	if err != nil {
		return fmt.Errorf("reshard: topics of the state (create the new one with enricher topics apply): %w", err)
	}
	for id, end := range m.ends[m.ToState] {
		if end.Offset > 0 {
			return fmt.Errorf("reshard: %s/%d is not empty: delete the topic and make it again with enricher topics apply", m.ToState, id)
		}
	}
	m.report.Partitions = make([]Share, len(m.ends[m.ToState]))
	m.to = kgo.StickyKeyPartitioner(nil).ForTopic(m.ToState)
	return nil
}

// idle refuses groups with members.
func (m *move) idle(ctx context.Context) error {
	groups, err := m.admin.DescribeGroups(ctx, m.From, m.To)
	if err != nil {
		return fmt.Errorf("reshard: ask for the groups: %w", err)
	}
	for _, g := range groups {
		if errors.Is(g.Err, kerr.GroupIDNotFound) {
			continue
		}
		if g.Err != nil {
			return fmt.Errorf("reshard: group %s: %w", g.Group, g.Err)
		}
		if len(g.Members) > 0 || g.State != "Empty" && g.State != "Dead" {
			return fmt.Errorf("reshard: group %s is %s with %d members: stop its enrichers first", g.Group, g.State, len(g.Members))
		}
	}
	return nil
}

// drained refuses rows of the old inputs that the old group has not taken: they would
// never be.
func (m *move) drained(ctx context.Context) error {
	taken, err := m.admin.FetchOffsets(ctx, m.From)
	if err == nil {
		err = taken.Error()
	}
	if err != nil {
		return fmt.Errorf("reshard: offsets of group %s: %w", m.From, err)
	}
	ends, err := m.admin.ListEndOffsets(ctx, taken.Partitions().Topics()...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("reshard: inputs of group %s: %w", m.From, err)
	}
	for topic := range taken {
		if slices.Contains(m.Inputs, topic) {
			return fmt.Errorf("reshard: both groups read %s: rows of one host would be in two of its partitions; send rows to a new topic first", topic)
		}
	}
	left := int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		at := int64(0)
		if commit, ok := taken.Lookup(end.Topic, end.Partition); ok {
			at = commit.At
		}
		left += end.Offset - at
	})
	if left > 0 {
		return fmt.Errorf("reshard: %d rows of %v are not taken: start group %s again until they are", left, taken.Partitions().Topics(), m.From)
	}
	return nil
}
