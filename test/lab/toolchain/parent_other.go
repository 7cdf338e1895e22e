//go:build !linux

package toolchain

import "syscall"

// dieWithParent has no counterpart outside Linux: an orphaned build ends when it is done.
func dieWithParent() *syscall.SysProcAttr { return nil }
