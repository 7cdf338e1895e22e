//go:build !linux

package main

import (
	"errors"
	"syscall"
)

// adoptOrphans has no counterpart outside Linux: there a daemon that leaves its process group survives.
func adoptOrphans() error { return nil }

func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// descendants returns the process groups of the started children, as kill(2) wants them, that still have members.
func (c *children) descendants() ([]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var groups []int
	for pid := range c.ids {
		if err := syscall.Kill(-pid, 0); !errors.Is(err, syscall.ESRCH) {
			groups = append(groups, -pid)
		}
	}
	return groups, nil
}
