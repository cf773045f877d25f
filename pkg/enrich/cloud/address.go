package cloud

import (
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// giveUpSlack is how long after an address was given up a call may seem to come from it:
// the call was under way, and records have whole seconds.
const giveUpSlack = time.Minute

// addresses are those that the key's instance calls from. known tells whether one of
// them is public and was its own by then, without which nothing is outside for certain:
// no record tells the address that EC2 gives an instance by itself. lost tells that the
// one that was called from had been the instance's, and was given up.
func (o *Operator) addresses(h *host, k *credential) (own map[string]bool, known, lost bool) {
	own = map[string]bool{}
	var later []string
	tied := func(at time.Time, i *cloudtrail.Interface) func(address string) {
		return func(address string) {
			switch {
			case address == "":
			case o.givenUp(h, i, address, at, k.First.Add(-giveUpSlack)):
				lost = lost || address == k.Address
			case at.After(k.First.Add(giveUpSlack)):
				later = append(later, address)
			default:
				own[address] = true
				known = known || !privateAddress(address) && !at.After(k.First)
			}
		}
	}
	for _, f := range o.facts(h, cloudtrail.FactAddress, k.Instance) {
		if f.Interface == nil || f.Interface.Instance != k.Instance {
			continue
		}
		o.addressesOf(h, f.Interface, tied(f.Time, f.Interface))
	}
	for _, f := range o.facts(h, cloudtrail.FactInterface, k.Instance) {
		o.attachedAddresses(h, f, tied)
	}
	if launch := o.launch(h, k.Instance, k.Account); launch != nil {
		tied(launch.Time, &cloudtrail.Interface{})(launch.Launch.PrivateIP)
		for _, f := range o.facts(h, cloudtrail.FactAddress, launch.Launch.VPC) {
			add := tied(f.Time, f.Interface)
			add(f.Interface.PublicIP)
			o.allocated(h, f.Interface.Allocation, add)
		}
	}
	for _, f := range o.uses(h, k.Instance) {
		if f.Use != nil && f.Use.Agent && o.usedBy(h, f) == k.Instance {
			tied(f.Time, &cloudtrail.Interface{})(f.Use.Address)
		}
	}
	lost = lost && !own[k.Address]
	for _, address := range later { // it may have had it before, of which nothing is known
		own[address] = own[address] || !lost || address != k.Address
	}
	return own, known, lost
}

// attachedAddresses are those of an interface that an instance was given by a call of its own: they
// are known by the interface alone.
func (o *Operator) attachedAddresses(h *host, f *cloudtrail.Fact, tied func(time.Time, *cloudtrail.Interface) func(string)) {
	for _, a := range o.facts(h, cloudtrail.FactAddress, f.Interface.ID) {
		if a.Interface == nil || a.Interface.ID != f.Interface.ID || a.Interface.Gateway != "" {
			continue
		}
		own, since := *a.Interface, a.Time
		if own.Instance, own.Attachment = f.Interface.Instance, f.Interface.Attachment; f.Time.After(since) {
			since = f.Time
		}
		o.addressesOf(h, &own, tied(since, &own))
	}
}

func (o *Operator) addressesOf(h *host, i *cloudtrail.Interface, add func(string)) {
	add(i.PrivateIP)
	add(i.PublicIP)
	if i.PublicIP == "" && i.Allocation != "" {
		o.allocated(h, i.Allocation, add)
	}
}

func (o *Operator) allocated(h *host, allocation string, add func(string)) {
	for _, f := range o.facts(h, cloudtrail.FactAddress, allocation) {
		if f.Interface != nil && f.Interface.Allocation == allocation {
			add(f.Interface.PublicIP)
		}
	}
}

// givenUp tells whether an address that was tied to something, as i says, was released,
// let go or tied to something else between two times.
func (o *Operator) givenUp(h *host, i *cloudtrail.Interface, address string, since, by time.Time) bool {
	within := func(f *cloudtrail.Fact) bool { return f.Time.After(since) && !f.Time.After(by) }
	if slices.ContainsFunc(o.facts(h, cloudtrail.FactInterfaceEnd, i.ID), within) || o.takenOff(h, i, within) {
		return true
	}
	if privateAddress(address) {
		return false // it is its interface's for as long as that is
	}
	names := o.elastic(h, address, i, since)
	for _, name := range names {
		if slices.ContainsFunc(o.facts(h, cloudtrail.FactAddressEnd, name), within) {
			return true
		}
		moved := func(f *cloudtrail.Fact) bool {
			return within(f) && f.Interface != nil && f.Interface.Association != "" && !slices.Contains(names, f.Interface.Association)
		}
		if slices.ContainsFunc(o.facts(h, cloudtrail.FactAddress, name), moved) {
			return true
		}
	}
	return false
}

// takenOff tells whether an interface that was its instance's was detached from it, or
// attached to another.
func (o *Operator) takenOff(h *host, i *cloudtrail.Interface, within func(*cloudtrail.Fact) bool) bool {
	if slices.ContainsFunc(o.facts(h, cloudtrail.FactInterfaceEnd, i.Attachment), within) {
		return true
	}
	for _, f := range o.facts(h, cloudtrail.FactInterface, i.ID) {
		switch {
		case f.Interface == nil || f.Interface.Instance == "":
		case f.Interface.Instance != i.Instance:
			if within(f) {
				return true
			}
		case i.Attachment == "" && slices.ContainsFunc(o.facts(h, cloudtrail.FactInterfaceEnd, f.Interface.Attachment), within):
			return true
		}
	}
	return false
}

// elastic are the names by which records may tell of the end of a public address: itself,
// its allocation, and what tied it by then.
func (o *Operator) elastic(h *host, address string, i *cloudtrail.Interface, by time.Time) (names []string) {
	add := func(all ...string) {
		for _, name := range all {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	add(address, i.Allocation, i.Association)
	for n := 0; n < len(names); n++ {
		for _, f := range o.facts(h, cloudtrail.FactAddress, names[n]) {
			if f.Interface == nil || f.Time.After(by) {
				continue
			}
			add(f.Interface.PublicIP, f.Interface.Allocation)
			if i.Association == "" {
				add(f.Interface.Association)
			}
		}
	}
	return names
}
