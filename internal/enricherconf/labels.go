package enricherconf

import (
	"fmt"
	"net/netip"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
)

// Labels are what owners call what they have in the cloud.
type Labels struct {
	Accounts  []Label `yaml:"accounts" doc:"AWS accounts, by their twelve digits."`
	Images    []Label `yaml:"images" doc:"Machine images, by their id."`
	Buckets   []Label `yaml:"buckets" doc:"S3 buckets, by their name."`
	Addresses []Label `yaml:"addresses" doc:"Addresses and prefixes. The longest that holds an address counts."`
}

// Label is what one thing is called.
type Label struct {
	ID     string   `yaml:"id" doc:"The account, image, bucket, address or prefix. Must be given."`
	Labels []string `yaml:"labels" doc:"Words that are shown where it is met. trusted on an address: a call from there is no sign of a stolen key. sensitive on a bucket: what touches it matters one step more."`
	Owner  string   `yaml:"owner" doc:"Whom to ask; shown beside the labels."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (l *Labels) Validate() (wrong []config.Problem) {
	for _, k := range l.kinds() {
		for i, one := range k.labels {
			key := fmt.Sprintf("%s[%d].id", k.key, i)
			if one.ID == "" {
				wrong = append(wrong, config.Problem{Key: key, Message: "must be given"})
				continue
			}
			if k.kind == cloud.LabelAddress && !addressOrPrefix(one.ID) {
				wrong = append(wrong, config.Problem{Key: key, Message: fmt.Sprintf("%q is no address or prefix such as 192.0.2.0/24", one.ID)})
			}
		}
	}
	return wrong
}

func addressOrPrefix(text string) bool {
	_, err := netip.ParsePrefix(text)
	if err != nil {
		_, err = netip.ParseAddr(text)
	}
	return err == nil
}

type labelsOf struct {
	key    string
	kind   cloud.LabelKind
	labels []Label
}

func (l *Labels) kinds() []labelsOf {
	return []labelsOf{
		{"accounts", cloud.LabelAccount, l.Accounts}, {"images", cloud.LabelImage, l.Images},
		{"buckets", cloud.LabelBucket, l.Buckets}, {"addresses", cloud.LabelAddress, l.Addresses},
	}
}

// Known are the labels as joins ask for them.
func (l *Labels) Known() *cloud.Labels {
	var all []cloud.Labelled
	for _, k := range l.kinds() {
		for _, one := range k.labels {
			all = append(all, cloud.Labelled{Kind: k.kind, ID: one.ID, Labels: one.Labels, Owner: one.Owner})
		}
	}
	return cloud.NewLabels(all)
}
