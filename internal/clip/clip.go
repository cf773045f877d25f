// Package clip cuts texts that others wrote to a length. It must never cut a character
// in two: what is left goes into JSON and to people.
package clip

// Text returns the beginning of text that has at most limit bytes and ends where one of
// its characters does. It shares text's bytes.
func Text(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xc0 == 0x80 { // inside of a character of UTF-8
		limit--
	}
	return text[:limit]
}
