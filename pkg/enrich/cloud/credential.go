package cloud

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

const (
	// sharedBy instances of one network that used an address within sharedWithin make
	// it the way out of that network.
	sharedBy     = 3
	sharedWithin = 7 * 24 * time.Hour
	maxCallNames = 16
)

// credential is the use of one key from one address. It is kept as JSON in the State.
type credential struct {
	Key      string    `json:"key"`
	Address  string    `json:"address"`
	Instance string    `json:"instance"`
	Account  string    `json:"account,omitempty"`
	Region   string    `json:"region,omitempty"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Count    int64     `json:"count"`
	Calls    []string  `json:"calls"`
	Buckets  []string  `json:"buckets,omitempty"`
	// Endpoint is the VPC endpoint that was called through, and its owner.
	Endpoint      string     `json:"endpoint,omitempty"`
	EndpointOwner string     `json:"endpoint_owner,omitempty"`
	Console       bool       `json:"console,omitempty"` // a console session was made of it
	Agent         bool       `json:"agent,omitempty"`   // the SSM agent called with it
	Records       []recordAt `json:"records"`

	// Told is what was told of it last, ToldAt until when by the records' clock, and
	// ToldCount of how many calls.
	Told      string    `json:"told,omitempty"`
	ToldAt    time.Time `json:"told_at,omitzero"`
	ToldCount int64     `json:"told_count,omitempty"`
	Revision  int64     `json:"revision,omitempty"`
	judged    time.Time // what its Last was when it was judged
	quiet     int       // how often nothing was new of it
}

func (k *credential) name() string { return k.Key + "|" + k.Address }

// use is the fact that it was used, at first.
func (k *credential) use() cloudtrail.Fact {
	return cloudtrail.Fact{
		Kind: cloudtrail.FactUse, Subject: k.Key, Account: k.Account, Region: k.Region, Time: k.First,
		Use: &cloudtrail.Use{Address: k.Address, Instance: k.Instance, Agent: k.Agent},
	}
}

// credentialOf is what a record says of its key's whereabouts; nil where AWS called, or
// nothing proves the instance.
func credentialOf(r *cloudtrail.Record, h cloudtrail.Host, at enrich.Position) *credential {
	if h.ID == "" || h.Proof == cloudtrail.ProofSessionName || h.Proof == cloudtrail.ProofIdentity || r.Source.Kind != cloudtrail.SourceAddress ||
		r.Identity.Service() != "" || r.Identity.AccessKeyID == "" || r.Time.IsZero() {
		return nil
	}
	k := &credential{
		Key: r.Identity.AccessKeyID, Address: r.Source.Addr.String(), Instance: h.ID, Account: r.Account(), Region: r.Region, First: r.Time, Last: r.Time, Count: 1,
		Calls: []string{r.Name}, Endpoint: r.VPCEndpointID, EndpointOwner: r.VPCEndpointAccountID,
		Agent: r.OfAgent(), Console: r.Name == "ConsoleLogin" || r.Name == "GetSigninToken", Records: []recordAt{{r.ID(), r.Time, at}},
	}
	if bucket, _ := s3Object(r.Request); bucket != "" {
		k.Buckets = []string{bucket}
	}
	return k
}

// add takes in another use, and tells whether that may change what is thought of it.
// What it comes to does not depend on the order.
func (k *credential) add(o *credential) (news bool) {
	k.Count += o.Count
	if c := o.First.Compare(k.First); c < 0 || c == 0 && o.Region < k.Region {
		news = c < 0
		k.First, k.Region = o.First, o.Region
	}
	if o.Last.After(k.Last) {
		k.Last = o.Last
	}
	calls, buckets := len(k.Calls), len(k.Buckets)
	k.Calls, k.Buckets = merged(k.Calls, o.Calls), merged(k.Buckets, o.Buckets)
	news = news || len(k.Calls) != calls || len(k.Buckets) != buckets || o.Console && !k.Console || o.Agent && !k.Agent
	k.Console, k.Agent = k.Console || o.Console, k.Agent || o.Agent
	if cmp.Or(cmp.Compare(o.EndpointOwner, k.EndpointOwner), cmp.Compare(o.Endpoint, k.Endpoint)) > 0 {
		k.Endpoint, k.EndpointOwner, news = o.Endpoint, o.EndpointOwner, true
	}
	k.note(o.Records)
	return news
}

// note keeps where the first of its records were read.
func (k *credential) note(more []recordAt) {
	for _, r := range more {
		i, _ := slices.BinarySearchFunc(k.Records, r, func(a, b recordAt) int { return byTime(a.At, b.At, a.ID, b.ID) })
		if i < maxEvidence {
			k.Records = slices.Insert(k.Records, i, r)[:min(len(k.Records)+1, maxEvidence)]
		}
	}
}

// merged adds texts to a sorted list, which is bounded.
func merged(all, more []string) []string {
	for _, text := range more {
		if i, found := slices.BinarySearch(all, text); !found {
			all = slices.Insert(all, i, text)
		}
	}
	return all[:min(len(all), maxCallNames)]
}

// verdict is what a use comes to.
type verdict struct {
	outside  bool
	severity finding.Severity
	why      []string // sentences
}

// judge says whether a key was used elsewhere, by all that is known today.
func (o *Operator) judge(h *host, k *credential) verdict {
	own, known, lost := o.addresses(h, k)
	if own[k.Address] || o.cfg.Labels.trusts(k.Address) || o.shared(h, k) {
		return verdict{}
	}
	private := privateAddress(k.Address)
	foreign := k.EndpointOwner != "" && k.Account != "" && k.EndpointOwner != k.Account
	if private && !foreign && (k.Endpoint == "" || !known) {
		return verdict{} // an address of a network that is not known here
	}
	first := o.firstAddress(h, k.Instance)
	if !known && !lost && (first == "" || first == k.Address) && !foreign {
		return verdict{} // the only address that it was ever seen at
	}
	v := verdict{outside: true, severity: finding.Medium}
	switch {
	case foreign:
		v.raise("It came through a VPC endpoint of another account, " + k.EndpointOwner + ".")
	case lost:
		v.raise("The address was the instance's own, and had been given up.")
	case known && o.usedInside(h, k, own):
		v.raise("The same key was used from the instance itself.")
	case known:
		v.because("The instance's own addresses are known, and it is none of them.")
	default:
		v.because("The instance's own addresses are not known; until then its calls came from " + first + ".")
	}
	if k.Console {
		v.raise("A session of the console was made of it.")
	}
	if network := o.notAWS(k.Address); network != "" {
		v.raise("The address is in the network of " + network + ", which is not AWS's.")
	}
	weighProcesses(h.words[k.name()], &v)
	for _, bucket := range k.Buckets {
		if l := o.cfg.Labels.Of(LabelBucket, bucket); l != nil && l.Has(Sensitive) {
			v.severity = above(v.severity)
			v.because("Bucket " + bucket + " is labelled sensitive.")
			break
		}
	}
	return v
}

func (v *verdict) because(sentence string) { v.why = append(v.why, sentence) }

func (v *verdict) raise(sentence string) {
	v.severity = finding.High
	v.because(sentence)
}

// notAWS names the network that an address is in, where that is known and not AWS's: what
// runs there is no instance.
func (o *Operator) notAWS(address string) string {
	a, err := netip.ParseAddr(address)
	if o.cfg.Locate == nil || err != nil || privateAddress(address) {
		return ""
	}
	l := o.cfg.Locate(a)
	switch l.ASN {
	case 0, 7224, 8987, 14618, 16509: // AWS announces its addresses by these
		return ""
	}
	if strings.Contains(strings.ToLower(l.Organization), "amazon") {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s (AS%d)", l.Organization, l.ASN))
}

func above(s finding.Severity) finding.Severity {
	switch s {
	case finding.Low:
		return finding.Medium
	case finding.Medium:
		return finding.High
	}
	return finding.Critical
}

// weighProcesses takes account of what the host's processes did.
func weighProcesses(t *tally, v *verdict) {
	switch {
	case t == nil:
	case t.Attributed > 0:
		v.severity = finding.Low
		v.because("A process of the host fits the calls, so that it may be a way out that is not known.")
	case t.Unseen > 0:
		v.severity = above(v.severity)
		v.because("No process of the host was seen that could have made them.")
	}
}

// facts and uses are what is known of a subject, on which what is told of h then rests.
func (o *Operator) facts(h *host, kind cloudtrail.FactKind, name string) []*cloudtrail.Fact {
	o.asked(h, kind, name)
	return o.cfg.Facts.Of(kind, name)
}

func (o *Operator) uses(h *host, name string) []*cloudtrail.Fact {
	o.asked(h, cloudtrail.FactUse, name)
	return o.cfg.Uses.Of(cloudtrail.FactUse, name)
}

// launch is the record of an instance's launch, nil where none with its details is known.
func (o *Operator) launch(h *host, instance, account string) *cloudtrail.Fact {
	o.asked(h, cloudtrail.FactLaunch, instance)
	if f, _ := o.cfg.Facts.Launch(instance, account); f != nil && f.Launch != nil {
		return f
	}
	return nil
}

// usedBy is the instance whose credentials a use is of.
func (o *Operator) usedBy(h *host, f *cloudtrail.Fact) string {
	if f.Use != nil && f.Use.Named != "" {
		o.asked(h, cloudtrail.FactIssuedKey, f.Subject)
	}
	return o.cfg.Facts.UsedBy(f)
}

// shared tells an address that several instances of the key's network called from
// within days: its way out. That it is does not change when more do.
func (o *Operator) shared(h *host, k *credential) bool {
	network := o.network(h, k.Instance, k.Account)
	users := map[string]bool{}
	for _, f := range o.cfg.Uses.Of(cloudtrail.FactUse, k.Address) {
		if f.Use == nil || f.Use.Address != k.Address || f.Time.Sub(k.First).Abs() > sharedWithin {
			continue
		}
		user := o.usedBy(h, f)
		if user != "" && !users[user] && o.network(h, user, f.Account) == network {
			users[user] = true
		}
		if len(users) >= sharedBy {
			return true
		}
	}
	o.asked(h, cloudtrail.FactUse, k.Address)
	return false
}

// network is the VPC that an instance was launched in, or its account where no record
// of the launch was seen.
func (o *Operator) network(h *host, instance, account string) string {
	if launch := o.launch(h, instance, account); launch != nil && launch.Launch.VPC != "" {
		return launch.Launch.VPC
	}
	return account
}

// firstAddress is the public address that an instance's credentials were first seen at.
func (o *Operator) firstAddress(h *host, instance string) string {
	for _, f := range o.uses(h, instance) { // the earliest first
		if f.Use != nil && o.usedBy(h, f) == instance && !privateAddress(f.Use.Address) {
			return f.Use.Address
		}
	}
	return ""
}

// usedInside tells whether the same key was used from the instance's own address, too.
func (o *Operator) usedInside(h *host, k *credential, own map[string]bool) bool {
	return slices.ContainsFunc(o.uses(h, k.Key), func(f *cloudtrail.Fact) bool { return f.Use != nil && own[f.Use.Address] })
}

func privateAddress(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.IsPrivate()
}

func (l *Labels) trusts(address string) bool {
	known := l.Of(LabelAddress, address)
	return known != nil && known.Has(Trusted)
}

// finding is what a person is told of the use.
func (o *Operator) finding(h *host, k *credential, v verdict) *finding.Finding {
	f := &finding.Finding{
		ID: finding.ID(finding.CredentialOutside, k.Key, k.Address), Revision: k.Revision, Rule: finding.CredentialOutside,
		Title: "An instance's credentials were used elsewhere", Status: finding.Open, Severity: v.severity, Confidence: 70,
		FirstSeen: k.First, LastSeen: k.Last, Count: k.Count, Techniques: []string{"T1078.004", "T1552.005"},
	}
	f.Reason = fmt.Sprintf("The credentials of instance %s (key %s) were used from %s: %s. %s", k.Instance, k.Key, k.Address, strings.Join(k.Calls, ", "), strings.Join(v.why, " "))
	if !v.outside {
		f.Status, f.Severity = finding.Retracted, finding.Info
		f.Reason = fmt.Sprintf("The address %s is one that instance %s calls from, as is known now.", k.Address, k.Instance)
	}
	if v.outside && o.cfg.Suppressed != nil {
		hosts, about := []string{string(h.record.Is), h.record.IsNamed, k.Instance}, []string{k.Key, k.Address}
		if wish := o.cfg.Suppressed(f.Rule, k.Last, hosts, about); wish != "" {
			f.Status = finding.Suppressed
			f.Reason += " " + wish
		}
	}
	f.Host, f.HostName, f.NoSensor = h.record.Is, h.record.IsNamed, h.record.Is == ""
	f.Cloud = encode(machine{Provider: "aws", Account: only(k.Account), Region: k.Region, Instance: only(k.Instance)})
	var labelled []Labelled
	labelled = o.cfg.Labels.add(labelled, LabelAccount, k.Account)
	for _, bucket := range k.Buckets {
		labelled = o.cfg.Labels.add(labelled, LabelBucket, bucket)
	}
	f.AWS = encode(credentialAWS{Key: k.Key, Source: k.Address, Endpoint: k.Endpoint, Calls: k.Calls, Buckets: k.Buckets, Labels: labelled})
	for _, r := range k.Records {
		f.Evidence = append(f.Evidence, finding.Evidence{ID: r.ID, Position: r.Position})
	}
	return f
}

type credentialAWS struct {
	Key      string     `json:"access_key"`
	Source   string     `json:"source_address"`
	Endpoint string     `json:"vpc_endpoint,omitempty"`
	Calls    []string   `json:"calls"`
	Buckets  []string   `json:"buckets,omitempty"`
	Labels   []Labelled `json:"labels,omitempty"`
}
