package lab_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

func TestChart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	programs, err := toolchain.Commands(ctx, nil, "./test/lab/lab/testdata/echo")
	if err != nil {
		t.Fatal(err)
	}
	l := labtest.Start(t, lab.Options{NoKwok: true, NoScheduler: true})
	release, err := l.InstallChart(ctx, lab.ChartOptions{
		Path: "testdata/chart", Name: "tiny", Namespace: "tiny", Programs: programs,
		Values: map[string]any{"greeting": "good morning"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := release.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	c := chartTest{lab: l, release: release, echo: release.Process("echo")}
	t.Run("gives the container what it asks for", c.given)
	t.Run("serves an aggregated API and a webhook", c.called)
	t.Run("follows changes of Secrets", c.followed)
	t.Run("restarts what is killed", c.killed)
	t.Run("restarts what is unhealthy", c.unhealthy)
	t.Run("stops and starts", c.stopped)
	t.Run("uninstalls", c.uninstalled)
}

type chartTest struct {
	lab     *lab.Lab
	release *lab.Release
	echo    *lab.Process
}

func (c chartTest) given(t *testing.T) {
	if says := ask(t, c.echo, "/says"); says != "good morning, tiny" {
		t.Errorf("it says %q; want its argument with the variables of its environment", says)
	}
	path := ask(t, c.echo, "/kubeconfig")
	out, err := c.lab.Kubectl(t.Context(), "--kubeconfig", path, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	if err != nil || out != "system:serviceaccount:tiny:echo" {
		t.Errorf("it runs as %q, %v", out, err)
	}
	if _, err := os.Stat(c.echo.HostPath("/etc/echo/tls/tls.crt")); err != nil {
		t.Errorf("its certificate: %v", err)
	}
	if out, err := c.lab.Kubectl(t.Context(), "get", "-n", "tiny", "echoes", "-o", "name"); err != nil || out != "echo.lab.example.com/first\n" {
		t.Errorf("the chart's custom objects are %q, %v", out, err)
	}
}

func (c chartTest) called(t *testing.T) {
	out, err := c.lab.Kubectl(t.Context(), "get", "--raw", "/apis/echo.example.com/v1")
	if err != nil || !strings.Contains(out, "APIResourceList") {
		t.Errorf("the aggregated API answers %q, %v", out, err)
	}
	eventually(t, "the webhook", func() error {
		err := c.lab.Client().Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: "tiny", GenerateName: "asked-", Labels: map[string]string{"echo": "ask"},
		}})
		if err == nil {
			return errors.New("what it refuses was created")
		}
		if !strings.Contains(err.Error(), "echo refuses") {
			return fmt.Errorf("creating what it refuses: %w", err)
		}
		return nil
	})
}

func (c chartTest) followed(t *testing.T) {
	if word := ask(t, c.echo, "/word"); word != "first" {
		t.Fatalf("the secret is %q through a path in the configuration", word)
	}
	pid := c.echo.PID()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tiny", Name: "echo-word"}}
	patch := ctrlclient.RawPatch("application/merge-patch+json", []byte(`{"stringData":{"word":"second"}}`))
	if err := c.lab.Client().Patch(t.Context(), secret, patch); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the changed secret", func() error {
		if word := ask(t, c.echo, "/word"); word != "second" {
			return fmt.Errorf("it is %q", word)
		}
		return nil
	})
	if c.echo.PID() != pid {
		t.Error("the process was restarted for it")
	}
}

func (c chartTest) killed(t *testing.T) {
	for range 2 {
		pid, restarts := c.echo.PID(), c.echo.Restarts()
		if err := c.echo.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.echo.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.echo.PID() == pid || c.echo.Restarts() != restarts+1 {
			t.Errorf("process %d with %d restarts became %d with %d", pid, restarts, c.echo.PID(), c.echo.Restarts())
		}
	}
}

func (c chartTest) unhealthy(t *testing.T) {
	restarts := c.echo.Restarts()
	ask(t, c.echo, "/break")
	eventually(t, "a restart", func() error {
		if c.echo.Restarts() == restarts {
			return errors.New("it was not restarted")
		}
		return nil
	})
	if err := c.echo.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (c chartTest) stopped(t *testing.T) {
	restarts := c.echo.Restarts()
	if err := c.echo.Stop(); err != nil {
		t.Fatal(err)
	}
	if c.echo.PID() != 0 {
		t.Error("it runs after Stop")
	}
	if err := c.echo.Kill(); err == nil {
		t.Error("what does not run can be killed")
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.echo.WaitReady(short); err == nil {
		t.Error("it is ready after Stop")
	}
	c.echo.Start()
	if err := c.echo.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.echo.Restarts() != restarts {
		t.Errorf("a start that was asked for counts as a restart")
	}
}

func (c chartTest) uninstalled(t *testing.T) {
	if err := c.release.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.lab.Kubectl(t.Context(), "delete", "namespace", "tiny", "--timeout=60s"); err != nil {
		t.Error(err)
	}
}

// ask gets a page from a process.
func ask(t *testing.T, p *lab.Process, path string) string {
	t.Helper()
	address, err := p.URL()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a certificate for another name
		DisableKeepAlives: true,
	}}
	response, err := client.Get(address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
