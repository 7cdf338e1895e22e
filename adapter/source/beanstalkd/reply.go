package beanstalkd

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

const (
	// maxLine is more than any reply's first line has, in bytes.
	maxLine = 256
	// maxData is many times what statistics are, in bytes.
	maxData = 64 << 10
)

// errNoProtocol says that what came is not beanstalkd's protocol.
var errNoProtocol = source.Errorf(source.ReasonBadReply, "the server does not speak beanstalkd's protocol")

// reply is the server's answer to one command.
type reply struct {
	// word is OK or the word of a refusal.
	word string
	// data goes with OK.
	data string
}

// words are all that the server says to the commands of this package.
var words = map[string]bool{
	"OK": true, "NOT_FOUND": true, "BAD_FORMAT": true, "UNKNOWN_COMMAND": true, "OUT_OF_MEMORY": true, "INTERNAL_ERROR": true,
}

// readReply reads one reply: a line and, after OK, as many bytes as it says.
func readReply(r *bufio.Reader) (reply, error) {
	line, err := readLine(r)
	if err != nil {
		return reply{}, err
	}
	word, size, sized := strings.Cut(line, " ")
	if !words[word] || sized != (word == "OK") {
		return reply{}, errNoProtocol
	}
	if !sized {
		return reply{word: word}, nil
	}
	n, err := strconv.ParseUint(size, 10, 32)
	if err != nil || n > maxData {
		return reply{}, errNoProtocol
	}
	data := make([]byte, n+2)
	if _, err := io.ReadFull(r, data); err != nil {
		return reply{}, err
	}
	if string(data[n:]) != "\r\n" {
		return reply{}, errNoProtocol
	}
	return reply{word: word, data: string(data[:n])}, nil
}

// readLine reads up to the end of a line and gives it without.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for len(line) <= maxLine {
		b, err := r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		line = append(line, b)
		if text, ok := strings.CutSuffix(string(line), "\r\n"); ok {
			return text, nil
		}
	}
	return "", errNoProtocol
}

// dictionary reads statistics: a line of three dashes, and then one line for each
// key and its value. It is as much of YAML as the server writes.
func dictionary(data string) (map[string]string, error) {
	lines := strings.Split(strings.TrimSuffix(data, "\n"), "\n")
	if lines[0] != "---" {
		return nil, errNoProtocol
	}
	values := make(map[string]string, len(lines))
	for _, line := range lines[1:] {
		key, value, ok := strings.Cut(line, ": ")
		if _, twice := values[key]; !ok || twice || key == "" {
			return nil, errNoProtocol
		}
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		values[key] = value
	}
	return values, nil
}

// tube are a tube's statistics.
type tube struct {
	ready, reserved, delayed, buried uint64
	// total are the jobs that were ever put, and deleted those that were deleted,
	// since the tube was made.
	total, deleted uint64
}

// parseTube reads the statistics of a tube. A count that is missing is an error,
// and not 0.
func parseTube(data, name string) (tube, error) {
	values, err := dictionary(data)
	if err != nil {
		return tube{}, err
	}
	if values["name"] != name {
		return tube{}, source.Errorf(source.ReasonBadReply, "the server's reply is not about tube %s", name)
	}
	var t tube
	for key, count := range map[string]*uint64{
		"current-jobs-ready": &t.ready, "current-jobs-reserved": &t.reserved, "current-jobs-delayed": &t.delayed,
		"current-jobs-buried": &t.buried, "total-jobs": &t.total, "cmd-delete": &t.deleted,
	} {
		if *count, err = strconv.ParseUint(values[key], 10, 64); err != nil {
			return tube{}, source.Errorf(source.ReasonBadReply, "the server's statistics of tube %s lack counts", name)
		}
	}
	return t, nil
}

// parseServer gives the name of the server's process, which each start draws anew.
func parseServer(data string) (string, error) {
	values, err := dictionary(data)
	if err != nil {
		return "", err
	}
	if values["id"] == "" {
		return "", source.Errorf(source.ReasonBadReply, "the server's statistics have no id: it is older than version 1.5")
	}
	return values["id"], nil
}
