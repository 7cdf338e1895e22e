// Command cluster-scaler grows and shrinks node pools by what pods need. It only
// wires: what it does is in cluster-scaler/controller.
package main

import (
	"os"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/controller"
)

func main() {
	os.Exit(controller.NewCommand().Main(os.Args[1:], os.Stdout, os.Stderr))
}
