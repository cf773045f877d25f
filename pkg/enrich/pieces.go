package enrich

// pieces remembers how processes were written. Most of what an enrichment weighs are
// ancestors, and those of one host are the same for row after row. It is for one
// goroutine.
type pieces struct {
	young, old map[pieceKey]*piece
}

// maxPieces is how many are remembered, at most twice: of about 400 bytes each.
const maxPieces = 1024

type pieceKey struct {
	entity string
	limit  int // of one text
}

// piece is a process as it was written. What is known of a process can change, so it
// holds what it was written from.
type piece struct {
	of   Process
	json []byte
	cut  bool
}

func newPieces() *pieces { return &pieces{young: map[pieceKey]*piece{}} }

// find returns the piece of that process, or nil.
func (c *pieces) find(p *Process, limit int) *piece {
	key := pieceKey{p.EntityID, limit}
	found := c.young[key]
	if found == nil {
		if found = c.old[key]; found != nil {
			c.keep(key, found)
		}
	}
	if found == nil || !found.fits(p) {
		return nil
	}
	return found
}

func (f *piece) fits(p *Process) bool {
	o := &f.of
	return o.PID == p.PID && o.Executable == p.Executable && o.CommandLine == p.CommandLine && o.Start.Equal(p.Start) &&
		o.UserID == p.UserID && o.UserName == p.UserName && o.Inferred == p.Inferred
}

func (c *pieces) keep(key pieceKey, f *piece) {
	if len(c.young) >= maxPieces {
		c.old, c.young = c.young, make(map[pieceKey]*piece, maxPieces)
	}
	c.young[key] = f
}

// add remembers how a process was written.
func (c *pieces) add(p *Process, limit int, json []byte, cut bool) {
	c.keep(pieceKey{p.EntityID, limit}, &piece{of: Process{
		PID: p.PID, Executable: p.Executable, CommandLine: p.CommandLine, Start: p.Start, UserID: p.UserID, UserName: p.UserName, Inferred: p.Inferred,
	}, json: append([]byte(nil), json...), cut: cut})
}
