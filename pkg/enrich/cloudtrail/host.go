package cloudtrail

// Why an instance or its launcher is not known.
const (
	InstanceForgeable = "instance_forgeable" // only the session's name says so, which anyone may choose
	LaunchUnknown     = "launch_unknown"     // no record of the launch was seen
)

// Host is the EC2 instance whose credentials made a call.
type Host struct {
	// ID is the instance, empty where the call is of no instance's.
	ID string
	// Proof says how it is known. Nothing is to be joined on ProofSessionName.
	Proof InstanceProof
	// Launch is the record of its launch with the details, Launcher who is behind
	// it: for one that a service launched, whoever made the service do it, where
	// that is known.
	Launch   *Fact
	Launcher *Fact
	// Behind is the way from the launcher's call back to who began it.
	Behind Chain
}

// Host finds the instance behind a call, and its launch.
func (t *Table) Host(r *Record) (h Host) {
	t.host(&h, r)
	return h
}

// host is Host into h, the memory of whose hops is used again.
func (t *Table) host(h *Host, r *Record) {
	*h = Host{Behind: Chain{Hops: h.Behind.Hops[:0]}}
	h.ID, h.Proof = t.Instance(r)
	if h.ID != "" && h.Proof != ProofSessionName {
		h.launch(t, r.Account())
	}
}

// HostOf is what facts tell of an instance that is known by other means than a call.
func (t *Table) HostOf(instance, account string, proof InstanceProof) Host {
	h := Host{ID: instance, Proof: proof}
	h.launch(t, account)
	return h
}

func (h *Host) launch(t *Table, account string) {
	h.Launch, h.Launcher = t.Launch(h.ID, account)
	if h.Launcher != nil {
		t.follow(&h.Behind, h.Launcher.Actor)
	}
}

// Instance is the one behind a call, with what facts add to what the record proves;
// empty for calls of no instance's.
func (t *Table) Instance(r *Record) (id string, proof InstanceProof) {
	id, proof = r.Identity.Instance()
	if proof == ProofSessionName && t.IssuedTo(r.Identity.AccessKeyID, id) {
		proof = ProofIssued
	}
	return id, proof
}

// IssuedTo tells that EC2 was seen to issue the key for the instance.
func (t *Table) IssuedTo(key, instance string) bool {
	for _, f := range t.of(FactIssuedKey, key) {
		if f.Key != nil && f.Key.Instance == instance && f.Actor.Service == "ec2.amazonaws.com" {
			return true
		}
	}
	return false
}

// Launch finds the launch of an instance, and who is behind it; nil where no record
// told. An instance is launched once: of several records, those of the account count
// first, then those with more detail. account may be empty.
func (t *Table) Launch(instance, account string) (launch, launcher *Fact) {
	best := -1
	for _, f := range t.of(FactLaunch, instance) {
		weight := 0
		if f.Account == account {
			weight += 2
		}
		if f.Via == "RunInstances" {
			weight++
		}
		if weight > best {
			launch, best = f, weight
		}
	}
	if launch == nil || launch.Actor.Service == "" {
		return launch, launch
	}
	return launch, t.behind(launch)
}

// behind finds who made a service launch an instance: the caller of CreateFleet, or
// the creator of the auto scaling group. The launch itself is the answer where no
// record tells.
func (t *Table) behind(launch *Fact) *Fact {
	for _, f := range t.of(FactLaunch, launch.Subject) {
		if f.Account == launch.Account && f.Actor.Service == "" {
			return f
		}
	}
	if launch.Launch == nil {
		return launch
	}
	launcher := launch
	for _, f := range t.of(FactGroup, launch.Launch.Group) { // the latest of that name before the launch
		if f.Account == launch.Account && f.Region == launch.Region && !f.Time.After(launch.Time) {
			launcher = f
		}
	}
	return launcher
}
