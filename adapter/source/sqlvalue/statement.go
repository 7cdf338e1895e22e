package sqlvalue

import (
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// CheckStatement refuses what does not begin as a reading statement does, before
// any server is asked: some that write nothing in a table are allowed in a
// read-only transaction and still end it, wait, or write files. What begins well
// is for the server to judge.
func CheckStatement(text string) error {
	word, ok := firstWord(text)
	if !ok || !slices.Contains([]string{"SELECT", "WITH", "VALUES", "TABLE"}, word) {
		return source.Errorf(ReasonNotReadOnly, "the statement must begin with SELECT, WITH, VALUES or TABLE")
	}
	return nil
}

// firstWord is the first word in upper case, past white space, parentheses and
// comments. A comment that a server may run as a statement is no comment.
func firstWord(text string) (string, bool) {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v(")
		var rest string
		switch {
		case strings.HasPrefix(text, "/*!"), strings.HasPrefix(text, "/*M!"), strings.HasPrefix(text, "/*m!"):
			return "", false
		case strings.HasPrefix(text, "/*"):
			var closed bool
			if _, rest, closed = strings.Cut(text[2:], "*/"); !closed {
				return "", false
			}
		case strings.HasPrefix(text, "--"):
			_, rest, _ = strings.Cut(text, "\n")
		default:
			end := strings.IndexFunc(text, func(r rune) bool {
				return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
			})
			if end < 0 {
				end = len(text)
			}
			return strings.ToUpper(text[:end]), end > 0
		}
		text = rest
	}
}

// Several tells whether a statement that a server could not read may be several:
// whether text follows a semicolon. It words a refusal and guards nothing.
func Several(text string) bool {
	_, rest, found := strings.Cut(text, ";")
	return found && strings.Trim(rest, "; \t\r\n") != ""
}
