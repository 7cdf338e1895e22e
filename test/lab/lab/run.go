package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

// errPortTaken says that a component could not listen because somebody else does.
var errPortTaken = errors.New("a port is taken")

const (
	tailLines = 15
	tailBytes = 16 << 10
)

// run starts a component. Its end, at any time before the lab's own, is the lab's failure.
func (l *Lab) run(c component) error {
	process, err := l.supervisor.Run(supervisor.Spec{
		Path: l.programs.Path(c.name),
		Args: append(c.args, l.options.ExtraArgs[c.name]...),
		Env:  l.environment(),
		Dir:  l.folder.path,
		Log:  l.logPath(c.name),
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.processes[c.name] = process
	l.mu.Unlock()
	l.goBackground(func() {
		select {
		case <-process.Done():
			l.fail(l.ended(c.name, process.Exit()))
		case <-l.background.Done():
		}
	})
	return nil
}

// ended describes the end of a process that should run.
func (l *Lab) ended(name string, exit supervisor.Exit) error {
	log := tail(l.logPath(name))
	err := fmt.Errorf("%s %s; the end of %s:\n%s", name, exit, l.logPath(name), log)
	if strings.Contains(log, "address already in use") {
		return errors.Join(errPortTaken, err)
	}
	return err
}

// environment is what every process of the lab gets: nothing of the user's except where programs are.
func (l *Lab) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + l.folder.path,
		"TMPDIR=" + filepath.Join(l.folder.path, "tmp"),
	}
}

func (l *Lab) logPath(name string) string { return filepath.Join(l.folder.logs(), name+".log") }

// tail returns the last lines of a file, or why there are none.
func tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	content := make([]byte, min(info.Size(), tailBytes))
	n, err := file.ReadAt(content, info.Size()-int64(len(content)))
	if err != nil && n == 0 {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content[:n])), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
