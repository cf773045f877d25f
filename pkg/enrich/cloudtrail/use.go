package cloudtrail

// Use is the use of a principal's credentials from an address: whose, and how.
type Use struct {
	Address string `json:"address,omitempty"`
	// Instance is the one whose credentials they are, where Proof is more than the
	// session's name.
	Instance string `json:"instance,omitempty"`
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
// of their own: they would push all else out. table has the keys that EC2 issued.
func Uses(r *Record, table *Table) (f Fact, ok bool) {
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
	if instance, proof := table.instance(r); proof != ProofSessionName {
		u.Instance = instance
	}
	u.Agent = u.Instance != "" && r.OfAgent()
	return Fact{Kind: FactUse, Subject: subject, EventID: r.EventID, Account: r.Account(), Region: r.Region, Time: r.Time, Via: r.Name, Actor: actorOf(r), Use: u}, true
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
