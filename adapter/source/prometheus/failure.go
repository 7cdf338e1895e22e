package prometheus

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// Reasons that only this source has.
const (
	reasonRefused   = "QueryRefused"
	reasonAmbiguous = "AmbiguousReply"
	reasonNoTime    = "NoSampleTime"
	reasonPartial   = "PartialReply"
	reasonRule      = "RuleFault"
)

// longestWord is how much of a server's own words an error repeats, in characters.
const longestWord = 240

// anotherMayAnswer tells whether another server of the same data may do better.
func anotherMayAnswer(failure *source.Error) bool {
	switch failure.Reason {
	case reasonRefused, reasonAmbiguous, reasonNoTime:
		return false
	}
	return true
}

// together is the failure of several servers: of the first, in the words of all.
func together(failures []*source.Error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	words := make([]string, len(failures))
	for i, f := range failures {
		words[i] = f.Message
	}
	return source.Errorf(failures[0].Reason, "none of %d servers gave an answer: %s", len(failures), strings.Join(words, "; "))
}

// failure says in our words why a server gave no answer.
func (s *servers) failure(url string, err error) *source.Error {
	var said *v1.Error
	if !errors.As(err, &said) {
		return access.Failure(httpapi.Server(url), err, s.transport.Secrets()...)
	}
	server := httpapi.Server(url)
	switch said.Type {
	case v1.ErrBadData, v1.ErrExec:
		// The server's own words are about the query, which is no secret, and are the
		// only ones that help.
		return source.Errorf(reasonRefused, "%s refused the query: %s", server, s.words(said.Msg))
	case v1.ErrTimeout, v1.ErrCanceled:
		return source.Errorf(source.ReasonTimeout, "%s gave the query up: it took longer than the server allows", server)
	case v1.ErrBadResponse:
		return source.Errorf(source.ReasonBadReply, "%s answered with no number (a text, or no reply of Prometheus' API)", server)
	}
	return s.status(server, said)
}

// status reads an answer whose HTTP status the client did not look into.
func (s *servers) status(server string, said *v1.Error) *source.Error {
	var reply struct {
		Type v1.ErrorType `json:"errorType"`
	}
	if json.Unmarshal([]byte(said.Detail), &reply) == nil && reply.Type == v1.ErrTimeout {
		return source.Errorf(source.ReasonTimeout, "%s gave the query up: it took longer than the server allows", server)
	}
	// The client's own words, with the status' number.
	return source.Errorf(source.ReasonFailed, "%s answered with an error (%s)", server, s.words(said.Msg))
}

// words are a server's, in one line of bounded length and without credentials.
func (s *servers) words(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, access.Scrub(text, s.transport.Secrets()...))
	if runes := []rune(text); len(runes) > longestWord {
		return string(runes[:longestWord]) + "..."
	}
	return text
}

// unsupported is the error of a reply of a form that is no number.
func unsupported(field, form string) error {
	return source.Errorf(source.ReasonBadReply, "%s gave %s where one number is needed", field, form)
}

// ambiguous is the error of a reply of several samples.
func ambiguous(field string, samples int) error {
	return source.Errorf(reasonAmbiguous,
		"%s gave %d samples where one is needed: aggregate them, as with sum(...) or max(...), or select one by its labels", field, samples)
}

// partial is the error of a reply that some of the data is missing from.
func partial(url string) *source.Error {
	return source.Errorf(reasonPartial, "%s answered with a part of the data only: a store behind it did not answer", httpapi.Server(url))
}
