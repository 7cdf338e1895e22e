package lab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// KubectlPath returns the kubectl of the lab's version.
func (l *Lab) KubectlPath() string { return l.programs.Path(toolchain.Kubectl) }

// Kubectl runs kubectl as the administrator and returns what it printed. The error holds what it complained about.
func (l *Lab) Kubectl(ctx context.Context, args ...string) (string, error) {
	return l.KubectlInput(ctx, "", args...)
}

// KubectlInput is Kubectl with something to read, for `apply -f -`.
func (l *Lab) KubectlInput(ctx context.Context, input string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, l.KubectlPath(), args...)
	cmd.Env = append(l.environment(),
		"KUBECONFIG="+l.kubeconfig,
		"KUBECACHEDIR="+filepath.Join(l.folder.path, "tmp", "kubectl"),
	)
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
