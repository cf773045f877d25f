package enrich

import (
	"context"
	"slices"
)

// Router takes records that are not the pipeline's to join.
type Router interface {
	// Route takes a record that is no side record, shows the API calls that it holds, but
	// for copies, and tells whether there is nothing else to do with it.
	Route(in *Input, called func(*Call) error, out *Out) (taken bool, err error)
	// Again shows the calls of a record that was routed before, with copies, and tells
	// the same.
	Again(in *Input, called func(*Call) error) (taken bool, err error)
}

// Route sets who takes records on elsewhere. It is called before Process.
func (p *Pipeline) Route(r Router) { p.router = r }

// Alone makes the pipeline do all stages by itself: facts go to learn, and side records
// are taken as they come. It is called before Process.
func (p *Pipeline) Alone(learn func(fact []byte) error) { p.learnFact = learn }

// turnBack takes facts and side records out of what was written since from, and takes
// them in. What they make may hold no more of either.
func (p *Pipeline) turnBack(ctx context.Context, from int, out *Out) error {
	if p.learnFact == nil || !slices.ContainsFunc(out.Outputs[from:], func(o Output) bool { return o.Stream == Facts || o.Stream == Sides }) {
		return nil
	}
	all := slices.Clone(out.Outputs[from:])
	out.Outputs = out.Outputs[:from]
	for i := range all {
		var err error
		switch o := &all[i]; o.Stream {
		case Facts:
			err = p.learnFact(o.Value)
		case Sides:
			err = p.processSide(ctx, Input{Value: o.Value, Side: true}, out)
		default:
			out.Add(*o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
