package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is where the figures come from.
type machine struct {
	processor string
	cores     int
	memory    string
	system    string
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s memory, %s, %s", m.processor, m.cores, m.memory, m.system, runtime.Version())
}

func thisMachine() machine {
	return machine{
		processor: field("/proc/cpuinfo", "model name", "unknown processor"),
		cores:     runtime.NumCPU(),
		memory:    field("/proc/meminfo", "MemTotal", "unknown"),
		system:    runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// field is the value of the first "name: value" line of a file of /proc.
func field(path, name, otherwise string) string {
	f, err := os.Open(path)
	if err != nil {
		return otherwise
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, ok := strings.Cut(s.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return otherwise
}
