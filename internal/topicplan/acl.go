package topicplan

import (
	"slices"
	"strings"
)

// ACL is what a principal must be allowed on one resource. A right to read or to
// write includes the right to describe.
type ACL struct {
	Resource   string   `json:"resource"` // topic, group or transactional-id
	Name       string   `json:"name"`
	Prefixed   bool     `json:"prefixed,omitempty"` // all resources whose name begins so
	Operations []string `json:"operations"`
}

// ACLs is the least that `enricher run` needs.
func ACLs(s Settings) []ACL {
	var all []ACL
	for _, name := range append(s.Inputs[:len(s.Inputs):len(s.Inputs)], s.Routed...) {
		all = append(all, ACL{Resource: "topic", Name: name, Operations: []string{"Read"}})
	}
	for _, name := range s.Outputs {
		all = append(all, ACL{Resource: "topic", Name: name, Operations: []string{"Write"}})
	}
	own, groups := []string{s.State, s.Side}, []string{s.Group}
	if len(s.Routed) > 0 {
		own, groups = append(own, s.Route, s.Facts), append(groups, s.Route)
	}
	for _, name := range own {
		all = append(all, ACL{Resource: "topic", Name: name, Operations: []string{"Read", "Write"}})
	}
	for _, group := range groups {
		all = append(all, ACL{Resource: "group", Name: group, Operations: []string{"Read"}})
	}
	for _, group := range groups {
		if s.Transactions {
			all = append(all, ACL{Resource: "transactional-id", Name: group + "-", Prefixed: true, Operations: []string{"Write"}})
		}
	}
	return all
}

// Command is the arguments of Kafka's kafka-acls.sh that allow it.
func (a ACL) Command(brokers, principal string) []string {
	args := []string{"--bootstrap-server", brokers, "--add", "--allow-principal", principal}
	for _, operation := range a.Operations {
		args = append(args, "--operation", operation)
	}
	if a.Prefixed {
		args = append(args, "--resource-pattern-type", "prefixed")
	}
	return append(args, "--"+a.Resource, a.Name)
}

// Shell writes a command's arguments so that a shell reads them as they are.
func Shell(args []string) string {
	quoted := slices.Clone(args)
	for i, arg := range args {
		plain := func(r rune) bool {
			return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-:,/=", r)
		}
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return !plain(r) }) {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
