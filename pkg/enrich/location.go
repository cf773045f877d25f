package enrich

// Location is where an address is, as far as a database knows: what is zero is not
// known.
type Location struct {
	// Country is its ISO 3166-1 code of two letters.
	Country string
	// ASN is the number of the autonomous system that announces it, Organization who
	// runs that.
	ASN          uint32
	Organization string
}

// location writes ECS's geo and as objects.
func (w *writer) location(l *Location) {
	if l.Country != "" {
		w.object("geo")
		w.Text("country_iso_code", l.Country)
		w.Close('}')
	}
	if l.ASN == 0 {
		return
	}
	w.object("as")
	w.Number("number", int64(l.ASN))
	if l.Organization != "" {
		w.object("organization")
		w.Text("name", l.Organization)
		w.Close('}')
	}
	w.Close('}')
}
