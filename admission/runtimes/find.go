package runtimes

import (
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Kind is a runtime and its setting, by the names of VerticalScalingPolicy.
type Kind string

// The kinds.
const (
	GoMemLimit Kind = "GoMemLimit"
	JVMHeap    Kind = "JVMHeap"
)

// Setting is one memory setting, written out in a container.
type Setting struct {
	// At is the JSON pointer of the string that holds it, below the container:
	// "env/0/value", "command/0" or "args/0".
	At string `json:"at"`
	// Offset is where Text begins in that string, in bytes.
	Offset int `json:"offset,omitempty"`
	// Text is the setting with its number and unit alone, as "-Xmx512m" or "900MiB".
	Text string `json:"text"`
}

// goMemLimit is what the Go runtime reads: a whole number and a unit. "off" is no
// number.
const goMemLimit = "GOMEMLIMIT"

var (
	// goSize is a value of GOMEMLIMIT.
	goSize = regexp.MustCompile(`^\d+(B|[KMGT]iB)?$`)
	// heapFlag is a flag of the JVM that bounds memory by a number. What comes before
	// and after it is looked at separately, since flags share the space between them.
	heapFlag = regexp.MustCompile(`(?:-Xm[xs]|-XX:(?:MaxHeapSize|InitialHeapSize|MaxRAM)=)\d+[kKmMgGtT]?`)
)

// Find gives the settings of the wanted kinds, in the order env, command, args.
// Values that refer to others, by valueFrom or $(NAME), are no settings.
func Find(c *corev1.Container, kinds ...Kind) []Setting {
	var out []Setting
	for _, kind := range kinds {
		for i := range c.Env {
			e, at := &c.Env[i], "env/"+strconv.Itoa(i)+"/value"
			switch {
			case kind == JVMHeap:
				out = append(out, heapFlags(at, e.Value)...)
			case kind == GoMemLimit && e.Name == goMemLimit && goSize.MatchString(e.Value):
				out = append(out, Setting{At: at, Text: e.Value})
			}
		}
		if kind != JVMHeap {
			continue
		}
		for i, word := range c.Command {
			out = append(out, heapFlags("command/"+strconv.Itoa(i), word)...)
		}
		for i, word := range c.Args {
			out = append(out, heapFlags("args/"+strconv.Itoa(i), word)...)
		}
	}
	return out
}

func heapFlags(at, text string) []Setting {
	if !strings.Contains(text, "-X") {
		return nil
	}
	var out []Setting
	for _, m := range heapFlag.FindAllStringIndex(text, -1) {
		before := m[0] == 0 || strings.ContainsRune(" \t\n\"'=", rune(text[m[0]-1]))
		after := m[1] == len(text) || strings.ContainsRune(" \t\n\"'", rune(text[m[1]]))
		if before && after {
			out = append(out, Setting{At: at, Offset: m[0], Text: text[m[0]:m[1]]})
		}
	}
	return out
}
