// Command vpa-admission sets the requests and limits of new pods to what their
// VerticalPodAutoscaler recommends. It only wires: what it does is in
// admission/webhook.
package main

import (
	"os"

	"github.com/quartet-autoscaling/quartet/admission/webhook"
)

func main() {
	os.Exit(webhook.NewCommand().Main(os.Args[1:], os.Stdout, os.Stderr))
}
