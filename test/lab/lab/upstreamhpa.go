package lab

import (
	"context"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// RunUpstreamHPA starts a controller manager with upstream's HPA controller and nothing else, at its own defaults
// but for the arguments, and returns at once.
func (l *Lab) RunUpstreamHPA(args ...string) (*Upstream, error) {
	port, err := l.ports.take()
	if err != nil {
		return nil, err
	}
	u, err := l.runUpstream(hpaController, l.programs.Path(toolchain.ControllerManager),
		append(append(l.credentials.delegated(l.credentials.controllers, port),
			"--controllers="+hpaController,
			"--leader-elect=false",
			"--use-service-account-credentials",
			"--authorization-always-allow-paths=/healthz,/metrics",
		), args...))
	if err != nil {
		return nil, err
	}
	u.url = localURL("https", port)
	u.ready = func(ctx context.Context) error { return healthy(ctx, u.url+"/healthz") }
	return u, nil
}
