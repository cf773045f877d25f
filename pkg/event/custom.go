package event

// Custom is a user's own lens: what the rows of a table or query of theirs mean.
type Custom struct {
	// Name is the lens' Table.
	Name string
	// Match takes the name of a query; nil takes any. It must always say the same
	// of the same name: what it said is remembered.
	Match func(query string) bool
	// Columns are those that a row must have.
	Columns   []string
	Kind      Kind
	Inventory bool
	Fields    map[Field]string
	// TimeUnit is how the column of the field Time tells it.
	TimeUnit TimeUnit
}

func (c Custom) lens() *Lens {
	l := &Lens{Table: c.Name, Kind: c.Kind, Inventory: c.Inventory, named: c.Columns, match: c.Match}
	l.with(c.Fields)
	for i := range l.times {
		l.times[i].unit = c.TimeUnit
	}
	return l
}
