// Command vpa-recommender learns what containers use and recommends requests in
// VerticalPodAutoscalers. It only wires: what it does is in
// recommender/controller.
package main

import (
	"os"

	"github.com/quartet-autoscaling/quartet/recommender/controller"
)

func main() {
	os.Exit(controller.NewCommand().Main(os.Args[1:], os.Stdout, os.Stderr))
}
