package lab

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"
)

// errOrphaned says that the `go` command which ran this program is gone.
var errOrphaned = errors.New("the go command that ran this program was killed")

const parentInterval = 500 * time.Millisecond

// followParent ends the lab when this program was run by `go run` or `go test` and that command is killed: it
// leaves its child running, and the lab of somebody who is gone with it.
func (l *Lab) followParent() {
	parent := os.Getppid()
	name, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/comm")
	if err != nil || strings.TrimSpace(string(name)) != "go" {
		return
	}
	ticker := time.NewTicker(parentInterval)
	defer ticker.Stop()
	for {
		select {
		case <-l.background.Done():
			return
		case <-ticker.C:
			if os.Getppid() != parent {
				l.fail(errOrphaned)
				_ = l.supervisor.Close()
				return
			}
		}
	}
}
