package cloudtrail

import (
	"strings"

	"github.com/stackjoin/stackjoin/internal/clip"
)

// Extract appends the facts that r states. It is a pure function; a record of a call
// that failed states none but a refused login. It is for any record, most of which
// state nothing.
func Extract(dst []Fact, r *Record) []Fact {
	if r.Failed() && r.Name != "ConsoleLogin" {
		return dst
	}
	x := extraction{record: r, facts: dst}
	service, _, _ := strings.Cut(r.Service, ".")
	switch service {
	case "ec2":
		x.ec2()
	case "sts", "iam":
		x.keys()
	case "ssm", "ec2-instance-connect":
		x.sessions()
	case "autoscaling":
		if group := x.request("autoScalingGroupName").text(); group != "" && r.Name == "CreateAutoScalingGroup" {
			x.add(FactGroup, group)
		}
	case "signin":
		x.login()
	}
	return x.facts
}

// extraction gathers one record's facts.
type extraction struct {
	record *Record
	facts  []Fact
}

func (x *extraction) request(names ...string) node  { return nodeOf(x.record.Request).get(names...) }
func (x *extraction) response(names ...string) node { return nodeOf(x.record.Response).get(names...) }

// add appends a fact and returns it, to be filled in before the next is added.
func (x *extraction) add(kind FactKind, subject string) *Fact {
	r := x.record
	x.facts = append(x.facts, Fact{
		Kind: kind, Subject: subject, EventID: r.EventID, Account: r.Account(), Region: r.Region, Time: r.Time, Via: r.Name, Actor: actorOf(r),
	})
	return &x.facts[len(x.facts)-1]
}

// either is the first text that says something.
func either(nodes ...node) string {
	for _, n := range nodes {
		if text := n.text(); text != "" {
			return text
		}
	}
	return ""
}

// login takes a login at the console, refused or not. Its failure has no errorCode,
// and no access key either way.
func (x *extraction) login() {
	r := x.record
	if r.Name != "ConsoleLogin" || r.Identity.PrincipalID == "" {
		return
	}
	to, _, _ := strings.Cut(r.Additional.LoginTo, "?")
	to, _, _ = strings.Cut(to, "#")
	x.add(FactLogin, r.Identity.PrincipalID).Login = &Login{Failed: r.Failed(), MFA: r.Additional.MFAUsed.Pointer(), To: clip.Text(to, maxAgent)}
}
