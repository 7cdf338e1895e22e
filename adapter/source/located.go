package source

import "strings"

// Located is a Query that says which server it asks. Queries of one kind and one
// server share that server's limits. A query that does not say is placed by its
// text, which by custom ends with " at " and the address.
type Located interface {
	// Server is an address, or several, without credentials.
	Server() string
}

// ServerOf names the server that a query asks: its kind and its address.
func ServerOf(q Query) string {
	if located, ok := q.(Located); ok {
		return q.Kind() + " at " + located.Server()
	}
	text := q.String()
	if i := strings.LastIndex(text, " at "); i >= 0 {
		return q.Kind() + text[i:]
	}
	// Alone: a limit that is shared with too few is no harm.
	return text
}
