package toolchain

import "syscall"

// dieWithParent makes the kernel kill a build whose asker was itself killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
