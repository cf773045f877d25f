package schemas_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// linkSamples are links as the join writes them: of a call whose process is known, of
// one that nobody was seen to make, and of a minute's data events.
func linkSamples(t *testing.T) map[string][]byte {
	t.Helper()
	clouds := cloud.New(cloud.Config{
		Labels: cloud.NewLabels([]cloud.Labelled{{Kind: cloud.LabelBucket, ID: "bucket", Labels: []string{cloud.Sensitive}, Owner: "web"}}),
		Now:    func() time.Time { return at(59) },
	}, state.NewMemory())
	p := enrich.NewPipeline(event.NewLenses(), []enrich.Operator{process.New(process.Config{}, state.NewMemory()), clouds}, nil)
	var out enrich.Out
	row := `{"name":"process_events","hostIdentifier":"web-1","unixTime":1795428670,"decorations":{"instance_id":"i-0317f6c6b66ae9c40"},"columns":{"pid":"900","parent":"1",` +
		`"path":"/usr/local/bin/aws","cmdline":"aws secretsmanager get-secret-value --secret-id db/main","uid":"0","time":"1795428670"},"action":"added"}`
	if err := p.Process(t.Context(), enrich.Input{Value: []byte(row), Position: enrich.Position{File: "osqueryd.results.log", Line: 1}}, &out); err != nil {
		t.Fatal(err)
	}
	secret := strings.NewReplacer("s3.amazonaws.com", "secretsmanager.amazonaws.com", "GetObject", "GetSecretValue", `{"bucketName":"b","key":"k"}`, `{"secretId":"db/main"}`,
		"b.secretsmanager", "secretsmanager", "[aws-cli/2.15]", "aws-cli/2.15").Replace(trailCall)
	other := strings.NewReplacer(`"e3"`, `"e9"`, "db/main", "other", "aws-cli/2.15", "Boto3/1.34").Replace(secret)
	minute := strings.NewReplacer(`"eventID":"e3"`, `"eventID":"e5","eventCategory":"Data"`, `"bucketName":"b"`, `"bucketName":"bucket"`, "aws-cli/2.15", "aws-cli/2.15").Replace(trailCall)
	names := []string{"cloudtrail.link-attributed.json", "cloudtrail.link-none.json", "cloudtrail.link-minute.json"}
	for i, text := range []string{secret, other, minute} {
		side := enrich.Side{Host: "web-1", Kind: cloud.Side, Value: []byte(text), Position: enrich.Position{Topic: "cloudtrail", Partition: 3, Offset: int64(i)}}
		if err := clouds.OnSide(&side, nil); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset()
	if err := clouds.Finish(&out); err != nil {
		t.Fatal(err)
	}
	made := map[string][]byte{}
	for _, o := range out.Outputs {
		for i, id := range []string{`"id":"e3/`, `"id":"e9/`, `"id":"e5/`} {
			if strings.Contains(string(o.Value), id) && o.Stream == enrich.CloudTrail {
				made[names[i]] = o.Value
			}
		}
	}
	return made
}
