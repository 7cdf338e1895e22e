// Command hpa-controller scales the targets of HorizontalPodAutoscalers. It only
// wires: what it does is in hpa/controller.
package main

import (
	"os"

	"github.com/quartet-autoscaling/quartet/hpa/controller"
)

func main() {
	os.Exit(controller.NewCommand().Main(os.Args[1:], os.Stdout, os.Stderr))
}
