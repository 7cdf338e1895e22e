package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// Ports are taken from below the range that kernels choose a connection's own port from, so that no connection of
// anybody takes one between its choice and its use.
const (
	firstPort = 20000
	lastPort  = 29999
)

// ports hands out loopback ports that no other lab of this cache is given while this one lives: a locked file
// stands for each.
type ports struct {
	dir string

	mu   sync.Mutex
	held []*os.File
}

func newPorts(dir string) (*ports, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating the folder of ports: %w", err)
	}
	return &ports{dir: dir}, nil
}

// take returns a port that nobody listens on.
func (p *ports) take() (int, error) {
	const count = lastPort - firstPort + 1
	offset := rand.IntN(count)
	for i := range count {
		port := firstPort + (offset+i)%count
		held, err := toolchain.TryLock(filepath.Join(p.dir, strconv.Itoa(port)))
		if errors.Is(err, toolchain.ErrLocked) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("reserving a port: %w", err)
		}
		if !canListen(port) {
			_ = held.Close()
			continue
		}
		p.mu.Lock()
		p.held = append(p.held, held)
		p.mu.Unlock()
		return port, nil
	}
	return 0, fmt.Errorf("no free port from %d to %d", firstPort, lastPort)
}

// free gives all ports back.
func (p *ports) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, held := range p.held {
		_ = held.Close()
	}
	p.held = nil
}

func canListen(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// Port returns a free loopback port that no other lab is given while this one lives.
func (l *Lab) Port() (int, error) { return l.ports.take() }
