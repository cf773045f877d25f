package cloudtrail

// Use is the use of a principal's credentials from an address: whose, and how.
type Use struct {
	Address string `json:"address,omitempty"`
	// Instance is the one whose credentials they are, where the record proves it. Named
	// is one that only the session's name tells: it counts where EC2 is known to have
	// issued the key (Table.UsedBy).
	Instance string `json:"instance,omitempty"`
	Named    string `json:"named,omitempty"`
	// Agent tells a call of the instance's SSM agent, which runs nowhere else.
	Agent bool `json:"agent,omitempty"`
	// Delivery is the version of the metadata service that handed the key out.
	Delivery string `json:"delivery,omitempty"`
}

// how tells uses apart that say different things.
func (u *Use) how() string {
	if u.Agent {
		return u.Delivery + "agent"
	}
	return u.Delivery
}

// Uses states the use of credentials that r is, where a principal called for itself
// and from an address. Nearly every record states one, so that they are held in a Table
// of their own: they would push all else out. It depends on nothing but the record.
func Uses(r *Record) (f Fact, ok bool) {
	id := &r.Identity
	if r.Source.Kind != SourceAddress || id.Service() != "" || id.Type == "AWSService" {
		return f, false
	}
	subject := keyID(id.AccessKeyID)
	if subject == "" {
		subject = id.PrincipalID
	}
	if subject == "" || r.Time.IsZero() {
		return f, false
	}
	u := &Use{Address: r.Source.Addr.String(), Delivery: id.EC2RoleDelivery}
	if instance, proof := id.Instance(); proof == ProofSessionName {
		u.Named = instance
	} else {
		u.Instance = instance
	}
	u.Agent = (u.Instance != "" || u.Named != "") && r.OfAgent()
	return Fact{Kind: FactUse, Subject: subject, EventID: r.EventID, Account: r.Account(), Region: r.Region, Time: r.Time, Via: r.Name, Actor: actorOf(r), Use: u}, true
}

// UsedBy is the instance whose credentials a use is of, as far as is known; empty for
// others.
func (t *Table) UsedBy(f *Fact) string {
	switch {
	case f.Use == nil:
		return ""
	case f.Use.Instance == "" && f.Use.Named != "" && t.IssuedTo(f.Subject, f.Use.Named):
		return f.Use.Named
	}
	return f.Use.Instance
}

// OfAgent tells a call that an instance's SSM agent makes of its own accord, all day
// long.
func (r *Record) OfAgent() bool {
	switch r.Service {
	case "ssmmessages.amazonaws.com", "ec2messages.amazonaws.com":
		return true
	case "ssm.amazonaws.com":
	default:
		return false
	}
	switch r.Name {
	case "UpdateInstanceInformation", "ListInstanceAssociations", "ListAssociations", "PutInventory", "PutComplianceItems",
		"UpdateInstanceAssociationStatus", "UpdateAssociationStatus", "GetDeployablePatchSnapshotForInstance", "RegisterManagedInstance":
		return true
	}
	return false
}
