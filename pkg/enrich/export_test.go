package enrich

import "time"

// SetNow makes the pipeline's own clock another one.
func (p *Pipeline) SetNow(now func() time.Time) { p.now = now }
