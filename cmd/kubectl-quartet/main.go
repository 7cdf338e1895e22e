// Command kubectl-quartet is the user's tool. On the path it also works as the
// kubectl plugin `kubectl quartet`.
package main

import (
	"os"

	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
