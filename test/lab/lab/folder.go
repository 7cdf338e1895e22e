package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

const (
	// lockFile is locked for as long as the lab or its supervisor lives.
	lockFile = "lock"
	// keptFile marks a folder that was left behind on purpose.
	keptFile = "kept"
	// keptFor is how long such a folder stays.
	keptFor = 7 * 24 * time.Hour
	// youngest is the age from which an unlocked folder cannot be one that is just being made.
	youngest = time.Minute
)

// folder is a lab's working folder.
type folder struct {
	path string
	held *os.File // the locked lock file
}

// newFolder makes a folder for a lab under dir, and removes those that no lab uses any more: a supervisor that was
// killed itself could not.
func newFolder(dir, name string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating the folder of labs: %w", err)
	}
	sweep(dir)
	path, err := os.MkdirTemp(dir, fmt.Sprintf("%s-%d-", name, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("creating a lab's folder: %w", err)
	}
	f := &folder{path: path}
	f.held, err = toolchain.TryLock(filepath.Join(path, lockFile))
	for _, sub := range []string{"logs", "pki", "kubeconfigs", "tmp"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(path, sub), 0o755))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("filling a lab's folder: %w", err), os.RemoveAll(path))
	}
	return f, nil
}

func (f *folder) logs() string { return filepath.Join(f.path, "logs") }

func (f *folder) markKept() error {
	return os.WriteFile(filepath.Join(f.path, keptFile), nil, 0o644)
}

// sweep removes folders whose lab is gone. What it cannot remove stays.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || time.Since(info.ModTime()) < youngest {
			continue
		}
		if _, err := os.Stat(filepath.Join(path, keptFile)); err == nil && time.Since(info.ModTime()) < keptFor {
			continue
		}
		if held, err := toolchain.TryLock(filepath.Join(path, lockFile)); err == nil {
			_ = os.RemoveAll(path)
			_ = held.Close()
		}
	}
}
