package route_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

const t0 = 1_760_000_000

func at(second int) time.Time { return time.Unix(t0+int64(second), 0).UTC() }

// world is a pipeline of stage 1 with what it was told and what it tells.
type world struct {
	*testing.T
	cfg    route.Config
	facts  *route.Facts
	state  *state.Memory
	p      *enrich.Pipeline
	offset int64
	counts map[string]int64
}

func newWorld(t *testing.T, cfg route.Config) *world {
	cfg.CloudTrail, cfg.Rows = []string{"cloudtrail"}, []string{"foreign"}
	w := &world{T: t, cfg: cfg, facts: route.NewFacts(nil), state: state.NewMemory(), counts: map[string]int64{}}
	w.restart()
	return w
}

func (w *world) restart() {
	r, err := route.New(w.cfg, w.facts, w.state)
	if err != nil {
		w.Fatal(err)
	}
	w.p = enrich.NewPipeline(event.NewLenses(), []enrich.Operator{r}, nil)
	w.p.Route(r)
}

// owns states that a host had an address from then on.
func (w *world) owns(host, addr string, second int) {
	f := owner.Fact{Kind: owner.HostAddress, Host: enrich.Host(host), Partition: int32(len(host)), Address: mustAddr(addr), From: at(second), To: at(second)}
	w.learn(&f)
}

func mustAddr(addr string) netip.Addr { return netip.MustParseAddr(addr) }

func (w *world) learn(f *owner.Fact) {
	o, err := f.Output()
	if err == nil {
		err = w.facts.Learn(o.Value)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// take hands a record in and returns what came out, a word for each.
func (w *world) take(topic, value string, second int) []string {
	w.Helper()
	return w.words(w.process(topic, value, second))
}

func (w *world) process(topic, value string, second int) *enrich.Out {
	w.Helper()
	w.offset++
	var out enrich.Out
	in := enrich.Input{Value: []byte(value), Sensor: topic == "sensor", Position: enrich.Position{Topic: topic, Offset: w.offset}, Appended: at(second)}
	if err := w.p.Process(context.Background(), in, &out); err != nil {
		w.Fatal(err)
	}
	return &out
}

func (w *world) idle() []string {
	w.Helper()
	var out enrich.Out
	if err := w.p.OnIdle(context.Background(), &out); err != nil {
		w.Fatal(err)
	}
	return w.words(&out)
}

func (w *world) words(out *enrich.Out) (all []string) {
	w.Helper()
	for _, o := range out.Outputs {
		word := o.Stream.String()
		if o.Stream == enrich.Facts && o.Value == nil {
			word += " deleted"
		}
		if o.Stream == enrich.Sides {
			s, err := enrich.ReadSide(o.Value)
			if err != nil {
				w.Fatal(err)
			}
			word = fmt.Sprintf("%s->%s/%d", s.Kind, s.Host, o.Partition)
			if s.Responder {
				word += " responder"
			}
			if s.Shared {
				word += " shared"
			}
			if s.Withdrawn {
				word += " withdrawn"
			}
			if s.Change > 0 {
				word += fmt.Sprint(" change ", s.Change)
			}
		}
		all = append(all, word)
	}
	for what, n := range w.p.TakeStats().Routed {
		w.counts[what] += n
	}
	slices.Sort(all)
	return all
}

func (w *world) want(got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("came out: %q, want %q", got, want)
	}
}

func conn(from, to string, second int) string {
	return fmt.Sprintf(`{"_path":"conn","ts":%d,"uid":"C","id.orig_h":%q,"id.orig_p":4000,"id.resp_h":%q,"id.resp_p":443,"conn_state":"SF"}`, t0+second, from, to)
}

func TestARecordGoesToTheHostsAtItsEnds(t *testing.T) {
	w := newWorld(t, route.Config{})
	w.owns("aa", "10.0.0.1", 0)
	w.owns("b", "10.0.0.2", 0)
	w.owns("ccc", "10.0.0.3", 0)
	w.owns("dddd", "10.0.0.3", 0)
	w.want(w.take("sensor", conn("10.0.0.1", "198.51.100.7", 1), 2), "enriched", "sensor->aa/2")
	w.want(w.take("sensor", conn("10.0.0.1", "10.0.0.2", 1), 2), "enriched", "sensor->aa/2", "sensor->b/1 responder")
	w.want(w.take("sensor", conn("198.51.100.7", "10.0.0.3", 1), 2), "enriched", "sensor->ccc/3 responder shared", "sensor->dddd/4 responder shared")
	w.want(w.take("sensor", conn("127.0.0.1", "127.0.0.1", 1), 2), "enriched")
	w.want(w.take("sensor", `{"_path":"files","ts":1}`, 2), "enriched")
	w.want(w.take("sensor", `no record`, 2), "deadletter")
	if w.counts["kept"] != 0 {
		t.Errorf("%v", w.counts)
	}
}

// A record of a host that nobody knows yet goes there when it is known, once, also
// after a restart.
func TestARecordWaitsForItsHost(t *testing.T) {
	w := newWorld(t, route.Config{})
	w.want(w.take("sensor", conn("10.0.0.1", "198.51.100.7", 10), 11), "enriched")
	w.want(w.take("sensor", conn("203.0.113.1", "198.51.100.7", 10), 11), "enriched") // either may be ours
	w.want(w.idle())
	w.owns("b", "10.0.0.9", 10) // of another
	w.want(w.idle())
	w.restart()
	w.owns("aa", "10.0.0.1", 5)
	w.owns("ccc", "203.0.113.1", 5)
	w.want(w.idle(), "sensor->aa/2", "sensor->ccc/3")
	w.owns("aa", "10.0.0.1", 6)
	w.want(w.idle())
	if w.counts["kept"] != 3 || w.counts["found"] != 2 {
		t.Errorf("%v", w.counts)
	}
}

func TestWhatIsKeptIsBoundedAndCounted(t *testing.T) {
	w := newWorld(t, route.Config{Wait: time.Minute, MaxBytes: 3000})
	for i := range 10 {
		w.take("sensor", conn(fmt.Sprintf("10.0.0.%d", i), "198.51.100.7", 10), 11)
	}
	kept := w.counts["kept"]
	if kept == 0 || kept+w.counts["no_room"] != 10 {
		t.Errorf("%v", w.counts)
	}
	w.take("sensor", `{"_path":"files","ts":1}`, 100)
	w.idle()
	if w.counts["unknown"] != kept {
		t.Errorf("%v, want what was kept given up", w.counts)
	}
	w.owns("aa", "10.0.0.1", 5)
	w.want(w.idle())
	empty := true
	if err := w.state.Scan("", []byte("k"), func(_, _ []byte) error { empty = false; return nil }); err != nil || !empty {
		t.Errorf("the state still keeps some: %v", err)
	}
}

func TestRowsGoToTheirHostsPartition(t *testing.T) {
	w := newWorld(t, route.Config{})
	const row = `{"name":"q","hostIdentifier":"%s","columns":{"a":"%s"},"action":"added"}`
	w.want(w.take("foreign", fmt.Sprintf(row, "h", "x"), 1), "row->h/-1")
	w.want(w.take("foreign", fmt.Sprintf(row, "h", "\xff"), 1), "row->h/-1")
	w.want(w.take("foreign", fmt.Sprintf(row, "", "x"), 1), "enriched")
	w.want(w.take("foreign", `no row`, 1), "deadletter")
	if w.counts["rekeyed"] != 2 || w.counts["hostless"] != 2 {
		t.Errorf("%v", w.counts)
	}
}

const call = `{"eventVersion":"1.11","eventTime":"2026-11-23T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"ListBuckets","eventID":"%s","recipientAccountId":"111122223333",` +
	`"userIdentity":{"type":"AssumedRole","principalId":"AROA:i-0123456789abcdef0","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0123456789abcdef0","accountId":"111122223333"%s}}`

const issued = `,"inScopeOf":{"issuerType":"AWS::EC2::Instance","credentialsIssuedTo":"arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0"}`

// Copies are told once while they may come; a session named like an instance proves
// nothing; a list holds several records.
func TestAPICallsAreToldOnceAndGoToTheProvedHost(t *testing.T) {
	w := newWorld(t, route.Config{})
	w.learn(&owner.Fact{Kind: owner.HostInstance, Host: "aa", Partition: 2, Instance: "i-0123456789abcdef0"})
	one, two := fmt.Sprintf(call, "1", issued), fmt.Sprintf(call, "2", "")
	w.want(w.take("cloudtrail", `{"Records":[`+one+`,`+two+`]}`, 1), "call->aa/2", "cloudtrail", "cloudtrail")
	w.restart()
	w.want(w.take("cloudtrail", one, 2))
	w.want(w.take("cloudtrail", `{"Records":[`+two+`,`, 2), "deadletter")
	w.take("cloudtrail", fmt.Sprintf(call, "3", issued), 2+25*3600)
	w.want(w.take("cloudtrail", one, 3+25*3600), "call->aa/2", "cloudtrail")
	if w.counts["duplicate"] != 2 {
		t.Errorf("%v", w.counts)
	}
}

// What a record states is a fact of the topic, and known to the records after it.
// Ids of records are forgotten a few at a time, and none is kept for ever.
func TestIdsOfRecordsAreForgotten(t *testing.T) {
	w := newWorld(t, route.Config{})
	const days, each = 4, 10 * 60 // seconds
	for i := range days * 24 * 3600 / each {
		if i%300 == 299 {
			w.restart()
		}
		one := fmt.Sprintf(call, fmt.Sprint(i), "")
		w.want(w.take("cloudtrail", one, i*each), "cloudtrail")
		w.want(w.take("cloudtrail", one, i*each+1))
	}
	kept := 0
	if err := w.state.Scan("", []byte("d"), func(_, _ []byte) error { kept++; return nil }); err != nil {
		t.Fatal(err)
	}
	if day := 24 * 3600 / each; kept < day || kept > day*31/24 {
		t.Errorf("%d ids are kept, where a day has %d and a lap of sweeping is 6 h", kept, day)
	}
	w.want(w.take("cloudtrail", fmt.Sprintf(call, "0", ""), days*24*3600), "cloudtrail")
}

func TestAPICallsStateFacts(t *testing.T) {
	w := newWorld(t, route.Config{})
	launch := strings.Replace(fmt.Sprintf(call, "1", ""), `"eventName":"ListBuckets"`,
		`"eventName":"RunInstances","eventSource":"ec2.amazonaws.com","responseElements":{"instancesSet":{"items":[{"instanceId":"i-0123456789abcdef0","imageId":"ami-1"}]}}`, 1)
	launch = strings.Replace(launch, `"eventSource":"s3.amazonaws.com",`, "", 1)
	got := w.take("cloudtrail", launch, 1)
	if !slices.Contains(got, "facts") {
		t.Errorf("%q", got)
	}
}

const issueOfKey = `{"eventVersion":"1.11","eventTime":"2026-11-23T09:00:00Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","eventID":"i","recipientAccountId":"111122223333",` +
	`"userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/web","roleSessionName":"i-0123456789abcdef0"},` +
	`"responseElements":{"credentials":{"accessKeyId":"ASIAI44QH8DHBEXAMPLE","expiration":"Nov 23, 2026, 3:00:00 PM"}}}`

// A session that is only named like an instance counts once EC2 is known to have issued
// its key, also after a restart, and only for a while.
func TestACallWaitsForTheIssueOfItsKey(t *testing.T) {
	named := strings.Replace(fmt.Sprintf(call, "1", `,"accessKeyId":"ASIAI44QH8DHBEXAMPLE"`), `"eventName"`, `"sourceIPAddress":"192.0.2.66","eventName"`, 1)
	w := newWorld(t, route.Config{})
	w.learn(&owner.Fact{Kind: owner.HostInstance, Host: "aa", Partition: 2, Instance: "i-0123456789abcdef0"})
	w.want(w.take("cloudtrail", named, 1), "cloudtrail", "facts")
	w.want(w.idle())
	w.restart()
	w.want(w.take("cloudtrail", issueOfKey, 2), "cloudtrail", "facts", "facts")
	w.want(w.idle(), "call->aa/2", "use->i-0123456789abcdef0/-1")
	w.want(w.idle())

	w = newWorld(t, route.Config{})
	w.take("cloudtrail", named, 1)
	w.take("sensor", `{"_path":"files","ts":1}`, 7*3600)
	w.want(w.idle())
	if w.take("cloudtrail", issueOfKey, 7*3600+1); w.counts["unknown"] != 2 {
		t.Errorf("%v", w.counts)
	}
	w.want(w.idle())
}

// A fact of what ended is deleted 30 days later, and 30 days after it was stated if that is
// later; one of what lasts is not.
func TestFactsOfWhatEndedAreDeleted(t *testing.T) {
	const day = 24 * 3600
	t0 := int(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC).Sub(at(0)).Seconds()) // when the key is issued; it ends after 6 h
	w := newWorld(t, route.Config{})
	w.want(w.take("cloudtrail", issueOfKey, t0), "cloudtrail", "facts", "facts") // one is the profile
	other := func(id string) string { return fmt.Sprintf(call, id, "") }
	w.restart()
	w.want(w.take("cloudtrail", other("1"), t0+6*3600+30*day-60), "cloudtrail")
	w.want(w.take("cloudtrail", other("2"), t0+6*3600+30*day+60), "cloudtrail", "facts deleted")
	w.want(w.take("cloudtrail", other("3"), t0+400*day), "cloudtrail")

	w = newWorld(t, route.Config{}) // read again a year later, with what came after it
	w.take("cloudtrail", issueOfKey, t0+365*day)
	w.want(w.take("cloudtrail", other("1"), t0+394*day), "cloudtrail")
	w.want(w.take("cloudtrail", other("2"), t0+396*day), "cloudtrail", "facts deleted")
}

// So is what was stated about keys, interfaces and addresses, also by another partition.
func TestFactsEndWithTheirKeysInterfacesAndAddresses(t *testing.T) {
	const day, lap = 24 * 3600, 6 * 3600
	const record = `{"eventID":"%s","recipientAccountId":"111122223333","eventTime":"2026-11-23T10:00:00Z","eventSource":"%s.amazonaws.com","eventName":"%s","awsRegion":"eu-west-1",` +
		`"userIdentity":{"type":"IAMUser","principalId":"AIDA","accountId":"111122223333"},"requestParameters":%s,"responseElements":%s}`
	t0 := int(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Sub(at(0)).Seconds())
	w := newWorld(t, route.Config{})
	for id, said := range map[string][4]string{
		"key":       {"iam", "CreateAccessKey", `{"userName":"x"}`, `{"accessKey":{"accessKeyId":"AKIABACKDOOR1EXAMPLE","userName":"x"}}`},
		"key-2":     {"iam", "CreateAccessKey", `{"userName":"x"}`, `{"accessKey":{"accessKeyId":"AKIALIVING000EXAMPLE","userName":"x"}}`},
		"interface": {"ec2", "CreateNetworkInterface", `{}`, `{"networkInterface":{"networkInterfaceId":"eni-1","privateIpAddress":"10.0.0.1"}}`},
		"address":   {"ec2", "AllocateAddress", `{}`, `{"publicIp":"203.0.113.80","allocationId":"eipalloc-1"}`},
		"tie":       {"ec2", "AssociateAddress", `{"allocationId":"eipalloc-1","networkInterfaceId":"eni-2"}`, `{"associationId":"eipassoc-1"}`},
		"attach":    {"ec2", "AttachNetworkInterface", `{"networkInterfaceId":"eni-3","instanceId":"i-0317f6c6b66ae9c40"}`, `{"attachmentId":"eni-attach-3"}`},
		"stays":     {"ec2", "AttachNetworkInterface", `{"networkInterfaceId":"eni-3","instanceId":"i-07d06021b0da55115"}`, `{"attachmentId":"eni-attach-4"}`},
	} {
		w.take("cloudtrail", fmt.Sprintf(record, id, said[0], said[1], said[2], said[3]), t0)
	}
	ends := func(kind cloudtrail.FactKind, subject string, i *cloudtrail.Interface, seconds int) {
		t.Helper()
		value, err := json.Marshal(&cloudtrail.Fact{Kind: kind, Subject: subject, Account: "111122223333", Time: at(seconds), Interface: i})
		if err == nil {
			err = w.facts.Learn(value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ends(cloudtrail.FactKeyEnd, "AKIABACKDOOR1EXAMPLE", nil, t0+60)
	ends(cloudtrail.FactInterfaceEnd, "eni-1", nil, t0+60)
	ends(cloudtrail.FactInterfaceEnd, "eni-attach-3", nil, t0+60)
	ends(cloudtrail.FactAddressEnd, "eipassoc-1", &cloudtrail.Interface{Association: "eipassoc-1"}, t0+60)
	n := 0
	deleted := func(from int) map[string]int {
		kinds := map[string]int{}
		for second := from; second < from+lap; second += 60 {
			n++
			for _, o := range w.process("cloudtrail", fmt.Sprintf(call, fmt.Sprint(n), ""), second).Outputs {
				if key := string(o.Key); o.Stream == enrich.Facts && len(o.Value) == 0 {
					kind, _, _ := strings.Cut(key, "/")
					kinds[kind]++
					if strings.Contains(key, "AKIALIVING") {
						t.Errorf("%s is deleted", key)
					}
				}
			}
		}
		return kinds
	}
	if kinds := deleted(t0 + 29*day); len(kinds) != 0 {
		t.Errorf("deleted after 29 days: %v", kinds)
	}
	w.restart()
	if kinds := deleted(t0 + 31*day); !maps.Equal(kinds, map[string]int{"issued_key": 1, "interface": 2, "address": 2}) {
		t.Errorf("deleted: %v", kinds)
	}
	ends(cloudtrail.FactAddressEnd, "eipalloc-1", &cloudtrail.Interface{Allocation: "eipalloc-1"}, t0+32*day)
	if kinds := deleted(t0 + 63*day); !maps.Equal(kinds, map[string]int{"address": 1}) {
		t.Errorf("deleted: %v", kinds)
	}
}

// What was stated about an instance is deleted 30 days after its end, whoever stated that,
// and its end another 30 days later; what is about one that lives is not.
func TestFactsAboutAnInstanceEndWithIt(t *testing.T) {
	const day, lap = 24 * 3600, 6 * 3600
	const ec2 = `{"eventID":"%s","recipientAccountId":"111122223333","eventTime":"2026-11-23T10:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"%s","awsRegion":"eu-west-1",` +
		`"userIdentity":{"type":"IAMUser","principalId":"AIDA","accountId":"111122223333"},"requestParameters":{},"responseElements":{"instancesSet":{"items":[%s]}}}`
	const gone, living = "i-0317f6c6b66ae9c40", "i-0aaaaaaaaaaaaaaa1"
	item := func(id string) string {
		return `{"instanceId":"` + id + `","iamInstanceProfile":{"arn":"arn:aws:iam::111122223333:instance-profile/web"},"networkInterfaceSet":{"items":[{"networkInterfaceId":"eni-` + id + `","privateIpAddress":"10.0.0.1"}]}}`
	}
	t0 := int(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Sub(at(0)).Seconds())
	w := newWorld(t, route.Config{})
	w.take("cloudtrail", fmt.Sprintf(ec2, "run", "RunInstances", item(gone)+","+item(living)), t0)
	elsewhere := cloudtrail.Fact{Kind: cloudtrail.FactInstanceEnd, Subject: gone, Account: "111122223333", Time: at(t0 + 60)}
	value, err := json.Marshal(&elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.facts.Learn(value); err != nil { // by another partition
		t.Fatal(err)
	}
	n := 0
	deleted := func(from, to int) (all []string) {
		for second := from; second < to; second += 60 {
			n++
			for _, o := range w.process("cloudtrail", fmt.Sprintf(call, fmt.Sprint(n), ""), second).Outputs {
				if o.Stream == enrich.Facts && len(o.Value) == 0 {
					all = append(all, string(o.Key))
				}
			}
		}
		return all
	}
	if all := deleted(t0+29*day, t0+29*day+lap); len(all) != 0 {
		t.Errorf("deleted after 29 days: %q", all)
	}
	w.restart()
	all := deleted(t0+31*day, t0+31*day+lap)
	kinds := map[string]int{}
	for _, key := range all {
		kind, _, _ := strings.Cut(key, "/")
		kinds[kind]++
		if strings.Contains(key, living) {
			t.Errorf("the living's %s is deleted", key)
		}
	}
	if kinds["launch"] != 1 || kinds["profile"] != 1 || kinds["interface"]+kinds["address"] == 0 {
		t.Errorf("deleted: %q", all)
	}
	if again := deleted(t0+32*day, t0+32*day+lap); len(again) != 0 {
		t.Errorf("deleted again: %q", again)
	}

	w = newWorld(t, route.Config{}) // its own word of an end goes after the rest
	w.take("cloudtrail", fmt.Sprintf(ec2, "run", "RunInstances", item(gone)), t0)
	w.take("cloudtrail", fmt.Sprintf(ec2, "end", "TerminateInstances", item(gone)), t0+60)
	if all := deleted(t0+31*day, t0+31*day+lap); len(all) == 0 || strings.HasPrefix(all[0], "instance_end") {
		t.Errorf("deleted after 31 days: %q", all)
	}
	if all := deleted(t0+61*day, t0+61*day+lap); len(all) != 1 || !strings.HasPrefix(all[0], "instance_end") {
		t.Errorf("deleted after 61 days: %q", all)
	}
}

// The use of a key from an address is stated once a day, unless an earlier one comes,
// and taken back after two weeks.
func TestAUseIsStatedOnceADay(t *testing.T) {
	use := func(id, time string) string {
		text := strings.Replace(fmt.Sprintf(call, id, `,"accessKeyId":"ASIAI44QH8DHBEXAMPLE"`), `"eventName"`, `"sourceIPAddress":"192.0.2.66","eventName"`, 1)
		return strings.Replace(text, "2026-11-23T10:00:00Z", time, 1)
	}
	w := newWorld(t, route.Config{})
	w.want(w.take("cloudtrail", use("1", "2026-11-23T10:00:00Z"), 1), "cloudtrail", "facts")
	w.want(w.take("cloudtrail", use("2", "2026-11-23T11:00:00Z"), 1), "cloudtrail")
	w.want(w.take("cloudtrail", use("3", "2026-11-23T09:00:00Z"), 1), "cloudtrail", "facts")
	w.restart()
	w.want(w.take("cloudtrail", use("4", "2026-11-23T09:30:00Z"), 1), "cloudtrail")
	w.want(w.take("cloudtrail", use("5", "2026-11-24T09:30:00Z"), 1), "cloudtrail", "facts")
	w.want(w.take("cloudtrail", use("6", "2026-12-09T09:30:00Z"), 15*24*3600), "cloudtrail", "facts", "facts deleted", "facts deleted")
	w.want(w.take("cloudtrail", use("7", "2026-12-09T09:40:00Z"), 15*24*3600), "cloudtrail")
}
