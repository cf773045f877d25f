package cloud

import (
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// How a principal is known to be behind a login.
const (
	bySession = "ssm_session"      // the session's id is in its worker's command line
	byCommand = "ssm_command"      // the command's id is
	byConnect = "instance_connect" // EC2 Instance Connect was given a key for the user less than a minute before
	byKeyPair = "key_pair"         // the key that was tried is the instance's key pair
	bySource  = "source_address"   // the principal's calls came from the login's address
)

// Bounds of what ties a login to a call.
const (
	keyHolds     = time.Minute // of EC2 Instance Connect
	clockSkew    = 5 * time.Second
	sourceWithin = 24 * time.Hour
	maxSharers   = 3 // principals of one address; more are an office
	maxLogins    = 8
)

// behind is a principal that may be behind a login.
type behind struct {
	how    string
	status Status
	id     string // of the session or command
	fact   *cloudtrail.Fact
}

// logins writes the principals behind the login that an event's process belongs to, nil
// where none is known. The tree below a login carries them.
func (o *Operator) logins(h *host, e *enrich.Event) []byte {
	cacheKey, session, id := workerOf(e)
	if session == "" && e.Session != nil && (e.Session.How == enrich.SessionByPID || e.Session.How == enrich.SessionByAudit) {
		cacheKey = "login " + e.Session.ID
	}
	if cacheKey == "" {
		return nil
	}
	if known, ok := h.logins[cacheKey]; ok {
		return known
	}
	var found []behind
	if session != "" {
		found = o.bySSM(h, session, id)
	} else {
		found = o.byLogin(h, &e.Session.Login)
	}
	text := o.appendLogins(found)
	h.logins[cacheKey] = text
	return text
}

// workerOf finds the SSM worker above an event's process: what it is of, and the id of
// the session or command.
func workerOf(e *enrich.Event) (key, how, id string) {
	if e.Process == nil {
		return "", "", ""
	}
	if how, id = worker(e.Process); how != "" {
		return how + " " + id, how, id
	}
	for i := range e.Process.Ancestors {
		if how, id = worker(&e.Process.Ancestors[i]); how != "" {
			return how + " " + id, how, id
		}
	}
	return "", "", ""
}

// worker reads the command line of SSM's workers: ssm-session-worker SESSION and
// ssm-document-worker COMMAND.
func worker(p *enrich.Process) (how, id string) {
	switch base(p.Executable) {
	case "ssm-session-worker":
		how = bySession
	case "ssm-document-worker":
		how = byCommand
	default:
		return "", ""
	}
	fields := words(p.CommandLine)
	if len(fields) < 2 {
		return "", ""
	}
	return how, fields[1]
}

func (o *Operator) bySSM(h *host, how, id string) []behind {
	kind := cloudtrail.FactSession
	if how == byCommand {
		kind = cloudtrail.FactCommand
	}
	for _, f := range o.cfg.Facts.Of(kind, id) {
		if f.Session == nil || len(f.Session.Instances) > 0 && h.now.Instance != "" && !slices.Contains(f.Session.Instances, h.now.Instance) {
			continue
		}
		return []behind{{how, Attributed, id, f}}
	}
	return []behind{{how: how, status: Unseen, id: id}}
}

// byLogin finds who is behind a login that is no SSM's.
func (o *Operator) byLogin(h *host, l *enrich.Login) []behind {
	if l.Start.IsZero() {
		return nil
	}
	if found := o.byKey(h, l); len(found) > 0 {
		return found
	}
	return o.bySourceAddress(l)
}

// byKey are those who gave EC2 Instance Connect a key for the login's user within the
// minute before, or who made the key pair, as far as a fingerprint tells. Several are
// all told, as possible.
func (o *Operator) byKey(h *host, l *enrich.Login) (found []behind) {
	if h.now.Instance == "" {
		return nil
	}
	prints := h.tried(l)
	matched := false
	for _, f := range o.cfg.Facts.Of(cloudtrail.FactSSHKey, h.now.Instance) {
		k := f.SSHKey
		if k == nil || k.Serial || l.UserName != "" && k.User != l.UserName || l.Start.Before(f.Time.Add(-clockSkew)) || l.Start.After(f.Time.Add(keyHolds+clockSkew)) {
			continue
		}
		same := slices.Contains(prints, printOf(k.Fingerprint))
		if same && !matched { // the others' keys were not the ones that were tried
			found, matched = found[:0], true
		}
		if same == matched {
			found = append(found, behind{byConnect, Possible, f.EventID, f})
		}
	}
	if len(found) == 0 {
		found = o.byPair(h, prints)
	}
	if len(found) == 1 && found[0].how == byConnect {
		found[0].status = Attributed
	}
	return found[:min(len(found), maxLogins)]
}

// byPair is who made the key pair that the instance was launched with, where it is the
// key that was tried. The key's holder may be another.
func (o *Operator) byPair(h *host, prints []string) []behind {
	launch, _ := o.cfg.Facts.Launch(h.now.Instance, h.now.Account)
	if launch == nil || launch.Launch == nil || launch.Launch.KeyName == "" {
		return nil
	}
	for _, f := range o.cfg.Facts.Of(cloudtrail.FactKeyPair, launch.Launch.KeyName) {
		if f.Account == launch.Account && f.Region == launch.Region && f.SSHKey != nil && slices.Contains(prints, printOf(f.SSHKey.Fingerprint)) {
			return []behind{{byKeyPair, Possible, f.EventID, f}}
		}
	}
	return nil
}

// printOf is a fingerprint in one spelling: OpenSSH and AWS write the same SHA-256 with
// and without its name and padding.
func printOf(fingerprint string) string {
	return strings.TrimRight(strings.TrimPrefix(fingerprint, "SHA256:"), "=")
}

// tried are the fingerprints of the keys that sshd asked about for a login's user, just
// before it.
func (h *host) tried(l *enrich.Login) (prints []string) {
	for _, s := range h.seen {
		if s.What == tried && (l.UserName == "" || s.OSUser == l.UserName) && !s.At.Before(l.Start.Add(-windowBefore)) && !s.At.After(l.Start.Add(clockSkew)) {
			prints = append(prints, printOf(s.Fingerprint))
		}
	}
	return prints
}

// bySourceAddress are the principals whose calls came from a login's address within a
// day. Of an address of more than three nobody is told: it is an office.
func (o *Operator) bySourceAddress(l *enrich.Login) (found []behind) {
	roots := map[string]bool{}
	for _, f := range o.cfg.Uses.Of(cloudtrail.FactUse, l.Remote) {
		if f.Use == nil || f.Use.Address != l.Remote || o.cfg.Facts.UsedBy(f) != "" || f.Time.Sub(l.Start).Abs() > sourceWithin {
			continue
		}
		chain := o.cfg.Facts.ChainOf(f.Actor)
		who := firstText(chain.Root.ARN, chain.Root.PrincipalID, chain.Root.Name)
		if who == "" || roots[who] {
			continue
		}
		if roots[who] = true; len(roots) > maxSharers {
			return nil
		}
		found = append(found, behind{bySource, Possible, "", f})
	}
	return found
}

// appendLogins writes a list, or nil for an empty one.
func (o *Operator) appendLogins(all []behind) []byte {
	if len(all) == 0 {
		return nil
	}
	b := []byte{'['}
	for i := range all {
		k := &all[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"how":"`+k.how+`","status":"`+string(k.status)+`"`...)
		if k.id != "" {
			b = event.AppendString(append(b, `,"id":`...), k.id)
		}
		if k.fact != nil {
			chain := o.cfg.Facts.ChainOf(k.fact.Actor)
			b = append(event.AppendTime(append(b, `,"time":"`...), k.fact.Time), '"')
			b = event.AppendString(append(b, `,"via":`...), k.fact.Via)
			if k.fact.Actor.Source != "" {
				b = event.AppendString(append(b, `,"source":`...), k.fact.Actor.Source)
			}
			b = append(b, ',')
			b = cloudtrail.AppendChain(b, &k.fact.Actor, &chain)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}
