package lab

import "syscall"

// KillComponent kills a process of the control plane, for the test of what is said then.
func (l *Lab) KillComponent(name string) error {
	l.mu.Lock()
	process := l.processes[name]
	l.mu.Unlock()
	return process.Signal(syscall.SIGKILL)
}
