package feed

import (
	"slices"
	"testing"
)

const mispDocument = `{"Event":{"uuid":"e1","info":"campaign","date":"2026-01-01","timestamp":"1767225600","Tag":[{"name":"tlp:green"},{"name":"apt, 7"},
 {"name":"misp-galaxy:mitre-attack-pattern=\"Phishing - T1566\""}],
 "Attribute":[
  {"uuid":"a1","type":"domain","value":"evil.org","to_ids":true,"first_seen":"2026-01-01T00:00:00+00:00","Tag":[{"name":"tlp:red"}]},
  {"uuid":"a2","type":"domain","value":"fine.org","to_ids":false},
  {"uuid":"a3","type":"domain","value":"gone.org","to_ids":true,"deleted":true},
  {"uuid":"a4","type":"domain|ip","value":"two.org|1.2.3.4","to_ids":"1"},
  {"uuid":"a5","type":"ip-dst|port","value":"1.2.3.4|8080","to_ids":1},
  {"uuid":"a6","type":"filename|sha256","value":"x.exe|44d88612fea8a8f36de82e1278abb02f44d88612fea8a8f36de82e1278abb02f","to_ids":true},
  {"uuid":"a7","type":"filename|sha256","value":"x.exe","to_ids":true},
  {"uuid":"a8","type":"email-src","value":"a@b.org","to_ids":true},
  {"uuid":"a9","type":"url","value":"hxxp://evil[.]org/x","to_ids":true},
  {"uuid":"b1","type":"filename","value":"dropper.exe","to_ids":true},
  {"uuid":"b2","type":"ja3-fingerprint-md5","value":"6734f37431670b3ab4292b8f60f29984","to_ids":true},
  {"uuid":"b3","type":"jarm-fingerprint","value":"27","to_ids":true},
  {"uuid":"b4","type":"x509-fingerprint-sha1","value":"aa","to_ids":true},
  {"uuid":"b5","type":"ip-src","value":"1.2.3.0/24","to_ids":true,"last_seen":"never"},
  {"uuid":"b6","type":"hostname|port","value":"c2.evil.org|8443","to_ids":true}],
 "Object":[{"name":"file","Attribute":[{"uuid":"c1","type":"md5","value":"44d88612fea8a8f36de82e1278abb02f","to_ids":true}]},
  {"name":"file","deleted":true,"Attribute":[{"uuid":"c2","type":"md5","value":"54d88612fea8a8f36de82e1278abb02f","to_ids":true}]}]}}`

// Only what is meant for detection is taken, each part of a composite as what it
// is; objects have attributes too.
func TestMISPEvents(t *testing.T) {
	b := mustRead(t, preset("misp"), mispDocument)
	taken := []string{
		"domain evil.org", "domain two.org", "ip 1.2.3.4", "ip 1.2.3.4 port 8080", "hash 44d88612fea8a8f36de82e1278abb02f44d88612fea8a8f36de82e1278abb02f",
		"url http://evil.org/x", "path dropper.exe", "ja3 6734f37431670b3ab4292b8f60f29984", "jarm 27", "cert_sha1 aa", "domain c2.evil.org port 8443", "hash 44d88612fea8a8f36de82e1278abb02f",
	}
	left := []string{"2 false " + NotToIDs, "3 false " + Deleted, "7 true " + OnePart, "8 false " + OtherType, "14 true " + BadTime, "17 false " + Deleted}
	if !slices.Equal(b.taken, taken) || !slices.Equal(b.left, left) {
		t.Errorf("took %q\nleft %q", b.taken, b.left)
	}
	want := Detail{Name: "campaign", ID: "a1", Event: "e1", TLP: "red", Tags: "apt  7", Attack: "T1566", FirstSeen: 1767225600}
	if b.details[0].Detail != want {
		t.Errorf("%+v", b.details[0].Detail)
	}
}
