package schemas_test

import (
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

func findingSamples(*testing.T) map[string][]byte {
	where := enrich.Position{Topic: "osquery.results", Partition: 3, Offset: 1234567}
	gap := finding.Finding{
		ID: finding.ID(finding.TelemetryGap, agent, run, "osquery.results", "1040"), Rule: finding.TelemetryGap, Title: "Telemetry of a host is missing",
		Reason: "calls 1031 to 1040 did not arrive", Status: finding.Open, Severity: finding.Medium, Confidence: 100,
		FirstSeen: at(3), LastSeen: at(9), Count: 1, Host: agent, HostName: "ip-10-0-3-17", Evidence: []finding.Evidence{{ID: agent + "/" + run + "/1042/0", Position: where}},
		Loss: &finding.Loss{Agent: agent, Run: run, Topic: "osquery.results", Word: "lost", From: 1031, To: 1040, Calls: 1, AtLeast: true, Since: at(3), Until: at(9)},
	}
	retracted := gap
	retracted.Revision, retracted.Status, retracted.Reason = 1, finding.Retracted, "the calls arrived after all"
	rows := gap
	rows.Loss = &finding.Loss{Agent: agent, Run: run, Topic: "osquery.results", Word: "rows", To: 1040, Rows: "3-7,9", RowCount: 6, Until: at(9)}
	conflict := finding.Finding{
		ID: finding.ID(finding.IdentityConflict, "ip-10-0-3-17"), Rule: finding.IdentityConflict, Title: "Two agents send under one host identifier",
		Reason: "both send", Status: finding.Open, Severity: finding.Medium, Confidence: 90, Count: 3, HostName: "ip-10-0-3-17", Agents: []string{agent, agent[:len(agent)-1] + "2"},
	}
	match := finding.Finding{
		ID: finding.ID("match", agent, "198.51.100.23", "2026-11-23"), Revision: 2, Rule: "match", Title: "An indicator was met", Reason: "curl spoke to a listed address",
		Status: finding.Suppressed, Severity: finding.High, Confidence: 80, FirstSeen: at(1), LastSeen: at(11), Count: 7, Techniques: []string{"T1071.001"}, Host: agent,
		Process: &enrich.Process{EntityID: "5f2a", PID: 30219, Executable: "/usr/bin/curl", Start: at(1), Ancestors: []enrich.Process{{EntityID: "5f2b", PID: 900, Executable: "/usr/bin/bash"}}},
		Session: []byte(`{"user":{"name":"ada"}}`), Executables: []string{"/usr/bin/curl"},
		Threat: &enrich.Threat{
			Indicator: "198.51.100.23", Type: "ipv4-addr", Field: "destination.ip", Atomic: "198.51.100.23", How: "exact", Feed: "feodo",
			Generation: "9c1f", Confidence: 80,
		},
	}
	credential := finding.Finding{
		ID: finding.ID("credential_outside_host", "ASIAI44QH8DHBEXAMPLE", "192.0.2.66"), Rule: "credential_outside_host", Title: "An instance's credentials were used elsewhere",
		Reason: "they were used from 192.0.2.66", Status: finding.Open, Severity: finding.High, Confidence: 70, FirstSeen: at(1), LastSeen: at(11), Count: 2,
		Techniques: []string{"T1552.005"}, NoSensor: true, Evidence: []finding.Evidence{{ID: "e3/111122223333", Position: where}},
		Cloud: []byte(`{"provider":"aws","account":{"id":"111122223333"},"region":"eu-west-1","instance":{"id":"i-0317f6c6b66ae9c40"}}`),
		AWS:   []byte(`{"access_key":"ASIAI44QH8DHBEXAMPLE","source_address":"192.0.2.66","calls":["GetObject"],"buckets":["b"],"labels":[{"kind":"bucket","id":"b","labels":["sensitive"],"owner":"web"}]}`),
	}
	return map[string][]byte{
		"finding-credential.json": credential.Append(nil, at(12)),
		"finding-lost.json":       gap.Append(nil, at(10)), "finding-retracted.json": retracted.Append(nil, at(20)), "finding-rows.json": rows.Append(nil, at(10)),
		"finding-conflict.json": conflict.Append(nil, at(20)), "finding-match.json": match.Append(nil, at(12)),
	}
}
