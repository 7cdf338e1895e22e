package toolchain

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// The programs of upstream's vertical autoscaler, by the names that they have in its images: what they write is
// marked with them.
const (
	VPARecommender = "recommender"
	VPAUpdater     = "updater"
	VPAAdmission   = "admission-controller"
)

// vpaModule is where they come from, and vpaPins the nested module that pins them: at the version whose API types the
// suite imports, since they do not compile against all versions of the suite's libraries.
const (
	vpaModule = "k8s.io/autoscaler/vertical-pod-autoscaler"
	vpaPins   = "test/lab/vpabinaries"
)

// UpstreamVPA builds one of them and returns its file. Nobody waits for it who does not ask: `go build` is asked
// each time, as for this checkout's own commands.
func UpstreamVPA(ctx context.Context, out io.Writer, program string) (string, error) {
	programs, err := commandsOf(ctx, out, vpaPins, path.Join(vpaModule, "pkg", program))
	return programs[program], err
}

// UpstreamVPAManifest returns a file of the module's folder deploy, such as vpa-rbac.yaml. Whoever imports the API
// types has the module on this machine.
func UpstreamVPAManifest(ctx context.Context, name string) ([]byte, error) {
	root, err := ModuleRoot()
	if err != nil {
		return nil, err
	}
	list := goCommand{Dir: root, Args: []string{"list", "-m", "-f", "{{.Dir}}", vpaModule}}
	dir, err := list.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding upstream's vertical autoscaler: %w", err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "deploy", name))
	if err != nil {
		return nil, fmt.Errorf("reading upstream's %s: %w", name, err)
	}
	return content, nil
}
