package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockRetry is how often a held lock is tried again. flock has no way to wait that a context could end.
const lockRetry = 100 * time.Millisecond

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("held by another process")

// TryLock takes the exclusive lock of the file at path, creating it if missing, or returns ErrLocked. The lock goes
// with the process, however it ends; closing the file frees it.
func TryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening a lock file: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// longWait is how long another process may hold a lock before it is worth a line.
const longWait = 2 * time.Second

// lock waits for the exclusive lock of the file at path. waiting is called once if that takes long.
func lock(ctx context.Context, path string, waiting func()) (*os.File, error) {
	ticker := time.NewTicker(lockRetry)
	defer ticker.Stop()
	start := time.Now()
	for told := false; ; {
		file, err := TryLock(path)
		if !errors.Is(err, ErrLocked) {
			return file, err
		}
		if !told && time.Since(start) > longWait {
			waiting()
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the lock %s: %w", path, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
