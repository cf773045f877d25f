package sink

// AppendLine appends value as a line, for destinations that keep lines. A line end inside
// it, which is white space in JSON, becomes a space.
func AppendLine(dst, value []byte) []byte {
	start := len(dst)
	dst = append(dst, value...)
	for i := start; i < len(dst); i++ {
		if dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return append(dst, '\n')
}
