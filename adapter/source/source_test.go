package source_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

func TestReasonOf(t *testing.T) {
	ours := source.Errorf(source.ReasonTLS, "cannot secure %s", "it")
	for name, test := range map[string]struct {
		err             error
		reason, message string
	}{
		"ours":               {ours, source.ReasonTLS, "cannot secure it"},
		"ours, wrapped":      {fmt.Errorf("poll: %w", ours), source.ReasonTLS, "cannot secure it"},
		"a deadline":         {fmt.Errorf("poll: %w", context.DeadlineExceeded), source.ReasonTimeout, "the source did not answer in time"},
		"of unknown origin":  {errors.New("password hunter22"), source.ReasonFailed, "the poll failed (*errors.errorString)"},
		"unknown and joined": {errors.Join(errors.New("hunter22"), errors.New("hunter22")), source.ReasonFailed, "the poll failed (*errors.joinError)"},
	} {
		t.Run(name, func(t *testing.T) {
			reason, message := source.ReasonOf(test.err)
			if reason != test.reason || message != test.message {
				t.Errorf("got %s %q, want %s %q", reason, message, test.reason, test.message)
			}
			if strings.Contains(message, "hunter22") {
				t.Error("the message shows the text of an error of unknown origin")
			}
		})
	}
}
