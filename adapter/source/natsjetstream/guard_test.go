package natsjetstream

import (
	"errors"
	"strings"
	"testing"
)

// TestFrames reads what servers send, whole and byte by byte.
func TestFrames(t *testing.T) {
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	for name, test := range map[string]struct {
		web  bool
		text string
		bad  bool
	}{
		"a conversation":             {text: "INFO {}\r\nPING\r\n+OK\r\nMSG a.b 1 5\r\nMSG a\r\nHMSG a 2 r 3 3\r\n\r\n\r\r\nPONG\r\n-ERR 'x'\r\n"},
		"an empty message":           {text: "MSG a 1 0\r\n\r\nPING\r\n"},
		"the greatest message":       {text: "MSG a 1 16777216\r\n"},
		"a message that is too long": {text: "MSG a 1 16777217\r\n", bad: true},
		"a message of any length":    {text: "MSG a 1 9223372036854775807\r\n", bad: true},
		"a size that overflows":      {text: "MSG a 1 99999999999999999999\r\n", bad: true},
		"a negative size":            {text: "MSG a 1 -1\r\n", bad: true},
		"no size":                    {text: "MSG a 1\r\n", bad: true},
		"a message in small letters": {text: "msg a 1 5\r\n", bad: true},
		"a message behind a message": {text: "MSG a 1 0\r\nMSG a 1 5\r\n", bad: true},
		"another white space":        {text: "MSG a 1 5\r 7\r\n", bad: true},
		"an empty line":              {text: "\r\n", bad: true},
		"another protocol":           {text: "HTTP/1.1 400 Bad Request\r\n", bad: true},
		"a line without an end":      {text: "INFO " + strings.Repeat("x", maxLine), bad: true},
		"a WebSocket":                {web: true, text: head + "\x82\x09INFO {}\r\n\x89\x01x\x02\x05MSG a\x80\x7e\x00\x0b 1 2\r\nok\r\n+\x82\x03OK\n"},
		"a WebSocket, too long":      {web: true, text: head + "\x82\x12MSG a 1 99999999\r\n", bad: true},
		"packed":                     {web: true, text: head + "\xc2\x01x", bad: true},
		"masked":                     {web: true, text: head + "\x82\x81", bad: true},
		"a frame of any length":      {web: true, text: head + "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", bad: true},
		"a head that ends early":     {web: true, text: "HTTP/1.1 101 x\n\n", bad: true},
		"a head without an end":      {web: true, text: strings.Repeat("x", maxWebHead+1), bad: true},
	} {
		for _, step := range []int{1, 3, len(test.text)} {
			feed := (&frames{}).feed
			if test.web {
				feed = (&webFrames{}).feed
			}
			var err error
			for rest := []byte(test.text); len(rest) > 0 && err == nil; rest = rest[min(step, len(rest)):] {
				err = feed(rest[:min(step, len(rest))])
			}
			if errors.Is(err, errGuard) != test.bad {
				t.Errorf("%s, %d at a time: %v", name, step, err)
			}
		}
	}
}

// FuzzFrames feeds any bytes, which must come to the same however they are cut.
func FuzzFrames(f *testing.F) {
	f.Add("INFO {}\r\nMSG a 1 5\r\nhello\r\nPING\r\n", false)
	f.Add("HTTP/1.1 101 x\r\n\r\n\x82\x06PING\r\n", true)
	f.Fuzz(func(t *testing.T, text string, web bool) {
		whole, single := (&frames{}).feed, (&frames{}).feed
		if web {
			whole, single = (&webFrames{}).feed, (&webFrames{}).feed
		}
		want := whole([]byte(text))
		var got error
		for i := range len(text) {
			if got = single([]byte{text[i]}); got != nil {
				break
			}
		}
		if (want == nil) != (got == nil) {
			t.Errorf("whole: %v, byte by byte: %v", want, got)
		}
	})
}
