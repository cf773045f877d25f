package cloud

import (
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// takeIdentity keeps what a row says of its host.
func (o *Operator) takeIdentity(h *host, e *enrich.Event) error {
	changed := !h.record.Sensor
	h.record.Sensor = true
	if name := e.HostIdentifier.Text(); name != h.record.Name && name != "" {
		h.record.Name, changed = name, true
	}
	if c, ok := claimOf(e); ok && h.record.Claim.worse(&c) {
		h.record.Claim, changed = c, true
	}
	if a := addressOf(e); a != "" && !slices.Contains(h.record.Addresses, a) && len(h.record.Addresses) < maxAddresses {
		h.record.Addresses = append(h.record.Addresses, a)
		slices.Sort(h.record.Addresses)
		changed = true
	}
	if !changed {
		return nil
	}
	h.resolved = time.Time{}
	return o.putRecord(h)
}

// worse tells whether another claim says more, or something else and later.
func (c *claim) worse(than *claim) bool {
	if c.Instance != than.Instance {
		return c.Instance == "" || than.At.After(c.At)
	}
	return c.Proof != ByMetadata && (than.Proof == ByMetadata || c.Account == "" && than.Account != "")
}

// takeMounts keeps the buckets that a host mounts.
func (o *Operator) takeMounts(h *host, e *enrich.Event) error {
	if e.Kind == event.Process {
		return o.takeMountCommand(h, e)
	}
	if e.Lens.Table != "mounts" {
		return nil
	}
	path := cleaned(e.Text(event.MountPath))
	if e.Action.Text() == "removed" {
		if m := h.mounts[path]; m != nil && m.Until.IsZero() {
			m.Until = e.Time
			return o.put(h, keyed(mountKey, path), m)
		}
		return nil
	}
	if m, ok := mountOfRow(e.Text(event.Device), path, e.Text(event.FileSystem)); ok {
		m.From = e.Time
		return o.addMount(h, &m)
	}
	return nil
}

func (o *Operator) takeMountCommand(h *host, e *enrich.Event) error {
	commandLine := e.Text(event.CommandLine)
	if !strings.Contains(commandLine, "s3") && !strings.Contains(commandLine, "goofys") && !strings.Contains(commandLine, "rclone mount") {
		return nil
	}
	m, ok := mountOfCommand(commandLine)
	if !ok || e.Action.Text() == "removed" {
		return nil
	}
	m.From = e.Time
	if start, ok := e.Int(event.StartTime); ok && start > 0 && e.Lens.Inventory {
		m.From = time.Unix(start, 0).UTC()
	}
	s := &sighting{At: m.From, What: started, Event: e.ID, Position: e.Position}
	s.process(e)
	m.Process = s
	return o.addMount(h, &m)
}

// maxMounts bounds the mounts kept of a host.
const maxMounts = 64

// addMount keeps a mount. Of two that tell of one, that with its process counts, and
// the earlier time.
func (o *Operator) addMount(h *host, m *mount) error {
	old := h.mounts[m.Path]
	if old == nil && len(h.mounts) >= maxMounts {
		o.evicted++
		return nil
	}
	if old != nil && old.Bucket == m.Bucket && old.Until.IsZero() {
		if old.From.Before(m.From) {
			m.From = old.From
		}
		if m.Process == nil || old.Process != nil && old.Process.Entity != "" && m.Process.Entity == "" {
			m.Process, m.Prefix = old.Process, old.Prefix
		}
		if m.From.Equal(old.From) && m.Process != nil && old.Process != nil && m.Process.Entity == old.Process.Entity {
			return nil
		}
	}
	h.mounts[m.Path] = m
	for _, c := range h.calls {
		if c.Bucket == m.Bucket {
			h.ask(c)
		}
	}
	return o.put(h, keyed(mountKey, m.Path), m)
}
