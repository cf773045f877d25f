// Package trailtest makes CloudTrail records in any number, for what measures how they
// are taken. It must never be linked into a program of the project's.
package trailtest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// Rate is that of a large estate, in records a second.
const Rate = 5000

// ids are those of a story's that each of its instances has for itself.
const ids = `i-0[0-9a-f]{16}|(ASIA|AKIA|AIDA|AROA)[A-Z0-9]{10,16}|vpc-1a2b3c4d|eipalloc-[0-9]|fleet-a|203\.0\.113\.8[01]`

// repeated calls several records of a story's, which state nothing, stand for: most of
// what CloudTrail tells is of that kind.
const repeated = 14

// Records tells the story of the records in text, those of pkg/enrich/cloudtrail/testdata,
// instance after instance, each with ids and addresses of its own, until there are n
// records at Rate from start.
func Records(text []byte, n int, start time.Time) ([][]byte, error) {
	plain := []string{"get", "scope", "agent", "internal", "forged"}
	own := regexp.MustCompile(ids).FindAllString(string(text), -1)
	slices.Sort(own)
	own = slices.Compact(own)
	var story [][]byte
	err := cloudtrail.Read(bytes.NewReader(text), cloudtrail.Limits{}, func(f cloudtrail.Found) error {
		one := bytes.Clone(f.Record.Raw)
		story = append(story, one)
		for i := 0; i < repeated && slices.Contains(plain, f.Record.EventID); i++ {
			story = append(story, one)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("story: %w", err)
	}
	made := make([][]byte, n)
	var world *strings.Replacer
	for i := range made {
		if i%len(story) == 0 {
			world = another(own, i/len(story))
		}
		one := story[i%len(story)]
		from := bytes.Index(one, []byte(`"eventTime":"`)) + len(`"eventTime":"`)
		one = fmt.Appendf(nil, "%s%s%s", one[:from], start.Add(time.Duration(i)*time.Second/Rate).Format(time.RFC3339), one[from+len("2026-11-23T10:00:00Z"):])
		one = bytes.Replace(one, []byte(`"eventID":"`), fmt.Appendf(nil, `"eventID":"%d-`, i), 1)
		made[i] = []byte(world.Replace(string(one)))
	}
	return made, nil
}

// another puts other ids and addresses in the place of those of a story.
func another(own []string, n int) *strings.Replacer {
	var pairs []string
	for _, id := range own {
		other := fmt.Sprintf("%s%0*x", id[:min(4, len(id)-4)], max(4, len(id)-4), n)
		if id[0] == '2' {
			other = fmt.Sprintf("100.%d.%d.%s", n>>8&0xff, n&0xff, id[len(id)-2:])
		}
		pairs = append(pairs, id, other)
	}
	return strings.NewReplacer(pairs...)
}
