package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTicks are those of a second in which Linux tells of processes' times.
const clockTicks = 100

// processTimes are what /proc tells of a process.
type processTimes struct {
	// cpu is the processor time that it took so far, in seconds.
	cpu float64
	// started is when it was started, to a hundredth of a second.
	started time.Time
}

func timesOf(pid int) (processTimes, error) {
	var t processTimes
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return t, fmt.Errorf("read the times of process %d: %w", pid, err)
	}
	// The name, in parentheses, may hold anything; the fields after it do not.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const user, system, start = 11, 12, 19 // proc(5) counts from 1 and two before these
	if len(fields) <= start {
		return t, fmt.Errorf("process %d tells %d fields of its state", pid, len(fields))
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return t, fmt.Errorf("read the time since the machine's start: %w", err)
	}
	now := time.Now()
	var v [4]float64
	since, _, _ := strings.Cut(string(uptime), " ")
	for i, text := range []string{fields[user], fields[system], fields[start], since} {
		if v[i], err = strconv.ParseFloat(text, 64); err != nil {
			return t, fmt.Errorf("read the times of process %d: %w", pid, err)
		}
	}
	t.cpu = (v[0] + v[1]) / clockTicks
	t.started = now.Add(-time.Duration((v[3] - v[2]/clockTicks) * float64(time.Second)))
	return t, nil
}

// residentMiB is the memory of a process that is in RAM, and peakMiB the most that
// ever was.
func residentMiB(pid int) (float64, error) { return memoryMiB(pid, "VmRSS") }
func peakMiB(pid int) (float64, error)     { return memoryMiB(pid, "VmHWM") }

func memoryMiB(pid int, field string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		if kb, found := strings.CutPrefix(line, field+":"); found {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 64)
			return n / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d tells no %s", pid, field)
}
