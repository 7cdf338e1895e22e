// Command vpa-updater evicts pods whose requests are not what their
// VerticalPodAutoscaler recommends. It only wires: what it does is in
// updater/controller.
package main

import (
	"os"

	"github.com/quartet-autoscaling/quartet/updater/controller"
)

func main() {
	os.Exit(controller.NewCommand().Main(os.Args[1:], os.Stdout, os.Stderr))
}
