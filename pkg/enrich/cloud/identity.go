package cloud

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// How a host is known to be an instance, surest first. They stand where a call's proof
// stands in CloudTrail's records.
const (
	ByMetadata    cloudtrail.InstanceProof = "metadata"        // its own word, of the metadata service
	ByDecorations cloudtrail.InstanceProof = "decorations"     // the same, as its decorations have it
	ByAgent       cloudtrail.InstanceProof = "ssm_agent"       // an SSM agent reported its name, and an address where two did
	ByAddress     cloudtrail.InstanceProof = "private_address" // the one instance that has its address
)

// claim is what a host says it is.
type claim struct {
	Instance string                   `json:"instance"`
	Account  string                   `json:"account,omitempty"`
	Region   string                   `json:"region,omitempty"`
	Zone     string                   `json:"zone,omitempty"`
	Type     string                   `json:"type,omitempty"`
	Image    string                   `json:"image,omitempty"`
	Role     string                   `json:"role,omitempty"`
	Proof    cloudtrail.InstanceProof `json:"proof"`
	At       time.Time                `json:"at"`
}

// claimOf is what an event says of its host's instance; ok is false for most.
func claimOf(e *enrich.Event) (c claim, ok bool) {
	if e.Lens.Table == "ec2_instance_metadata" && e.Action.Text() != "removed" {
		c = claim{
			Instance: e.Text(event.InstanceID), Account: e.Text(event.AccountID), Region: e.Text(event.Region), Image: e.Text(event.ImageID),
			Role: e.Text(event.InstanceRole), Proof: ByMetadata, At: e.Time,
		}
		c.Type, c.Zone = column(e, "instance_type"), column(e, "availability_zone")
		if id, ok := cloudtrail.InstanceID(c.Instance); ok {
			c.Instance = id
			return c, true
		}
	}
	for _, name := range [...]string{"instance_id", "ec2_instance_id", "cloud_instance_id"} {
		v, has := e.Decoration(name)
		if !has {
			continue
		}
		if id, ok := cloudtrail.InstanceID(v.Text()); ok {
			return claim{
				Instance: id, Account: decoration(e, "account_id"), Region: decoration(e, "region"), Proof: ByDecorations, At: e.Time,
			}, true
		}
	}
	return c, false
}

func column(e *enrich.Event, name string) string {
	v, _ := e.Column(name)
	return v.Text()
}

func decoration(e *enrich.Event, name string) string {
	v, _ := e.Decoration(name)
	return v.Text()
}

// maxAddresses bounds the private addresses kept of a host.
const maxAddresses = 16

// addressOf is the private address that an event tells its host has.
func addressOf(e *enrich.Event) string {
	if e.Lens.Table != "interface_addresses" || e.Action.Text() == "removed" {
		return ""
	}
	a, err := netip.ParseAddr(e.Text(event.InterfaceAddress))
	if err != nil || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// resolve finds the instance that a host is at a time: by its own word, or else by
// what the facts say of its name and addresses, where that is one instance.
func (o *Operator) resolve(h *host, at time.Time) claim {
	if h.record.Claim.Instance != "" {
		return h.record.Claim
	}
	addresses := h.record.Addresses
	if named := addressInName(h.record.Name); named != "" && len(addresses) == 0 {
		addresses = []string{named}
	}
	for _, find := range []func() []claim{
		func() []claim { return o.byAgent(h.record.Name, addresses) },
		func() []claim { return o.byAddress(addresses, at) },
	} {
		if found := find(); len(found) == 1 {
			return found[0]
		}
	}
	return claim{}
}

// byAgent are the instances whose SSM agents report a host's name, those with one of
// its addresses where several do.
func (o *Operator) byAgent(name string, addresses []string) (found []claim) {
	facts := o.cfg.Facts.Of(cloudtrail.FactAgent, name)
	for _, strict := range []bool{false, true} {
		found = found[:0]
		for _, f := range facts {
			if f.Agent == nil || f.Agent.Computer != name || strict && !slices.Contains(addresses, f.Agent.IP) {
				continue
			}
			found = addClaim(found, claim{Instance: f.Subject, Account: f.Account, Region: f.Region, Proof: ByAgent, At: f.Time})
		}
		if len(found) < 2 {
			return found
		}
	}
	return found
}

// byAddress are the instances that have one of a host's addresses then. Networks use
// the same private addresses again, so that there may be several.
func (o *Operator) byAddress(addresses []string, at time.Time) (found []claim) {
	for _, a := range addresses {
		for _, f := range o.cfg.Facts.Of(cloudtrail.FactAddress, a) {
			if f.Interface == nil || f.Interface.PrivateIP != a || f.Time.After(at.Add(launchSlack)) || o.ended(cloudtrail.FactInterfaceEnd, f.Interface.ID, at) {
				continue
			}
			instance, known := o.attached(f.Interface.ID, at)
			if !known {
				instance = f.Interface.Instance
			}
			if instance != "" && !o.ended(cloudtrail.FactInstanceEnd, instance, at) {
				found = addClaim(found, claim{Instance: instance, Account: f.Account, Region: f.Region, Proof: ByAddress, At: f.Time})
			}
		}
	}
	return found
}

// launchSlack is how much earlier than the record of its launch a host's first rows may
// seem to be: clocks differ.
const launchSlack = time.Minute

// attached is the instance that an interface is tied to then, if to any; known is false
// where no call tied it to one.
func (o *Operator) attached(networkInterface string, at time.Time) (instance string, known bool) {
	var last *cloudtrail.Interface
	for _, f := range o.cfg.Facts.Of(cloudtrail.FactInterface, networkInterface) {
		if f.Interface != nil && f.Interface.Instance != "" && !f.Time.After(at.Add(launchSlack)) {
			last = f.Interface
		}
	}
	if last == nil {
		return "", false
	}
	if o.ended(cloudtrail.FactInterfaceEnd, last.Attachment, at) {
		return "", true
	}
	return last.Instance, true
}

func (o *Operator) ended(kind cloudtrail.FactKind, name string, at time.Time) bool {
	for _, f := range o.cfg.Facts.Of(kind, name) {
		if f.Time.Before(at) {
			return true
		}
	}
	return false
}

func addClaim(all []claim, c claim) []claim {
	for i := range all {
		if all[i].Instance == c.Instance {
			return all
		}
	}
	return append(all, c)
}

// addressInName is the address in names such as ip-10-0-1-10.ec2.internal.
func addressInName(name string) string {
	name, _, _ = strings.Cut(name, ".")
	digits, ok := strings.CutPrefix(name, "ip-")
	if !ok {
		return ""
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(digits, "-", "."))
	if err != nil {
		return ""
	}
	return a.String()
}

// machine is the member `cloud` of an event of the host.
type machine struct {
	Provider string  `json:"provider"`
	Account  *idOnly `json:"account,omitempty"`
	Region   string  `json:"region,omitempty"`
	Zone     string  `json:"availability_zone,omitempty"`
	Instance *idOnly `json:"instance,omitempty"`
	Machine  *struct {
		Type string `json:"type"`
	} `json:"machine,omitempty"`
}

type idOnly struct {
	ID string `json:"id"`
}

func only(id string) *idOnly {
	if id == "" {
		return nil
	}
	return &idOnly{id}
}

// describe writes what is known of the instance that a host is.
func (o *Operator) describe(c claim) (described enrich.Cloud, labelled []Labelled) {
	h := o.cfg.Facts.HostOf(c.Instance, c.Account, c.Proof)
	m := machine{Provider: "aws", Account: only(c.Account), Region: c.Region, Zone: c.Zone, Instance: only(c.Instance)}
	image := c.Image
	if f := h.Launch; f != nil {
		m.Account, m.Region = only(firstText(c.Account, f.Account)), firstText(c.Region, f.Region)
		if f.Launch != nil {
			m.Zone, c.Type, image = firstText(c.Zone, f.Launch.Zone), firstText(c.Type, f.Launch.InstanceType), firstText(image, f.Launch.ImageID)
		}
	}
	if c.Type != "" {
		m.Machine = &struct {
			Type string `json:"type"`
		}{c.Type}
	}
	described.Machine = encode(m)
	described.Instance = cloudtrail.AppendInstance(nil, &h)
	if m.Account != nil {
		labelled = o.cfg.Labels.add(labelled, LabelAccount, m.Account.ID)
	}
	labelled = o.cfg.Labels.add(labelled, LabelImage, image)
	if h.Launcher != nil {
		labelled = o.cfg.Labels.add(labelled, LabelAddress, h.Launcher.Actor.Source)
	}
	return described, labelled
}

// encode writes what cannot fail to be JSON.
func encode(v any) []byte {
	if m, ok := v.(member); ok {
		return encodeMember(m)
	}
	text, _ := json.Marshal(v)
	return text
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
