// Command metrics-adapter serves queues and queries as external metrics.
package main

import (
	"os"

	"github.com/quartet-autoscaling/quartet/adapter/server"
)

func main() {
	os.Exit(server.NewCommand().Main(os.Args[1:], os.Stdout, os.Stderr))
}
