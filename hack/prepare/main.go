// Command prepare gets ready what the tests need and a fresh machine has not: the
// programs of the lab's control plane, built into the user's cache with progress
// shown (minutes from cold, nothing at all when warm), and beside it the servers
// that sources of metrics are tested against, from the system's packages where
// this is Debian and the user is root. Tests would build the programs by
// themselves, but behind a test runner that shows nothing until a package is
// done. Where a server cannot be installed its tests are skipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	installed := make(chan error, 1)
	go func() { installed <- installServers(ctx) }()
	_, err := toolchain.Pinned(ctx, os.Stderr)
	err = errors.Join(err, <-installed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}
