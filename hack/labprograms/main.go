// Command labprograms builds the programs of the lab's control plane into the
// user's cache, with progress shown, where they are not there yet: minutes from
// cold, nothing at all when warm. Tests would build them by themselves, but
// behind a test runner that shows nothing until a package is done.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	_, err := toolchain.Pinned(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "labprograms:", err)
		os.Exit(1)
	}
}
