package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// limit is how long anything of these tests may take on a busy machine.
const limit = 90 * time.Second

func TestLabsSideBySide(t *testing.T) {
	t.Parallel()
	first := labtest.Start(t, lab.Options{Name: "first"})
	second := labtest.Start(t, lab.Options{Name: "second", Nodes: 1})
	ctx := t.Context()

	out, err := first.Kubectl(ctx, "version")
	if err != nil || strings.Count(out, toolchain.KubernetesVersion) != 2 {
		t.Errorf("kubectl version prints %q, %v; want client and server of %s", out, err, toolchain.KubernetesVersion)
	}
	if _, err := first.Kubectl(ctx, "create", "namespace", "only-here"); err != nil {
		t.Fatal(err)
	}
	err = second.Client().Get(ctx, ctrlclient.ObjectKey{Name: "only-here"}, &corev1.Namespace{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the second lab has the first one's namespace: %v", err)
	}
	if out, err := second.Kubectl(ctx, "get", "nodes", "-o", "name"); err != nil || out != "node/node-0\n" {
		t.Errorf("the second lab's nodes are %q, %v", out, err)
	}
	if _, err := first.Kubectl(ctx, "no-such-command"); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("a wrong command of kubectl gives %v", err)
	}
	deploy(t, first, "web", 5)

	address, err := url.Parse(second.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(second.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stopped lab's folder is there: %v", err)
	}
	if _, err := net.Dial("tcp", address.Host); err == nil {
		t.Error("the stopped lab's API server still listens")
	}
	if _, err := first.Kubectl(ctx, "get", "namespace", "only-here"); err != nil {
		t.Errorf("the first lab suffers from the end of the second: %v", err)
	}
}

func TestServiceAccountHasOnlyItsRights(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := labtest.Start(t, lab.Options{NoKwok: true, NoScheduler: true})
	for _, args := range [][]string{
		{"create", "serviceaccount", "reader"},
		{"create", "role", "reader", "--verb=list", "--resource=configmaps"},
		{"create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"},
	} {
		if _, err := l.Kubectl(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	path, err := l.ServiceAccountKubeconfig(ctx, "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.Kubectl(ctx, "--kubeconfig", path, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	if err != nil || out != "system:serviceaccount:default:reader" {
		t.Errorf("the kubeconfig is of %q, %v", out, err)
	}
	config, err := l.ServiceAccountConfig(ctx, "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	client, err := ctrlclient.New(config, ctrlclient.Options{Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the right to list config maps", func() error {
		return client.List(ctx, &corev1.ConfigMapList{}, ctrlclient.InNamespace("default"))
	})
	if err := client.List(ctx, &corev1.SecretList{}, ctrlclient.InNamespace("default")); !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets gives %v, want forbidden", err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := l.ServiceAccountKubeconfig(short, "default", "nobody"); err == nil || !strings.Contains(err.Error(), "default/nobody") {
		t.Errorf("an account that is not there gives %v", err)
	}
}

func TestUsageFollowsTheLoadModel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := labtest.Start(t, lab.Options{MetricsServer: true})
	deploy(t, l, "web", 2)
	selector := labels.SelectorFromSet(labels.Set{"app": "web"})
	set := func(cpu, memory string) {
		t.Helper()
		err := l.SetUsage(ctx, lab.Usage{
			Namespace: "default", Selector: selector,
			CPU: resource.MustParse(cpu), Memory: resource.MustParse(memory),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set("500m", "64Mi")
	awaitUsage(t, l, 2, resource.MustParse("500m"), resource.MustParse("64Mi"))
	if out, err := l.Kubectl(ctx, "top", "pods", "--no-headers"); err != nil || !strings.Contains(out, "64Mi") {
		t.Errorf("kubectl top prints %q, %v", out, err)
	}
	if _, err := l.Kubectl(ctx, "scale", "deployment/web", "--replicas=3"); err != nil {
		t.Fatal(err)
	}
	set("120m", "96Mi")
	awaitUsage(t, l, 3, resource.MustParse("120m"), resource.MustParse("96Mi"))
}

// awaitUsage waits until as many pods are measured, each within a tenth of the CPU, which is a rate, and exactly at
// the memory.
func awaitUsage(t *testing.T, l *lab.Lab, pods int, cpu, memory resource.Quantity) {
	t.Helper()
	eventually(t, "usage of "+cpu.String(), func() error {
		var list metricsv1beta1.PodMetricsList
		if err := l.Client().List(t.Context(), &list, ctrlclient.InNamespace("default")); err != nil {
			return err
		}
		if len(list.Items) != pods {
			return fmt.Errorf("%d pods are measured, want %d", len(list.Items), pods)
		}
		for _, pod := range list.Items {
			used := pod.Containers[0].Usage
			off := used.Cpu().MilliValue() - cpu.MilliValue()
			if off*10 > cpu.MilliValue() || -off*10 > cpu.MilliValue() || used.Memory().Cmp(memory) != 0 {
				return fmt.Errorf("pod %s uses %s and %s", pod.Name, used.Cpu(), used.Memory())
			}
		}
		return nil
	})
}

func TestADeadComponentIsNamed(t *testing.T) {
	t.Parallel()
	l, err := lab.Start(t.Context(), lab.Options{Name: "dying", NoKwok: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.KillComponent(toolchain.Scheduler); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Failed():
	case <-time.After(limit):
		t.Fatal("nobody noticed")
	}
	err = l.Err()
	if err == nil || !strings.Contains(err.Error(), "kube-scheduler was ended by signal 9") ||
		!strings.Contains(err.Error(), "kube-scheduler.log:") {
		t.Errorf("the failure is %v", err)
	}
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedStartKeepsItsLogs(t *testing.T) {
	t.Parallel()
	_, err := lab.Start(t.Context(), lab.Options{
		Name:      "failing",
		ExtraArgs: map[string][]string{toolchain.APIServer: {"--no-such-flag"}},
	})
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver exited with code 1") ||
		!strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Fatalf("the failure is %v", err)
	}
	_, logs, _ := strings.Cut(err.Error(), "logs are kept in ")
	logs, _, _ = strings.Cut(logs, "\n")
	if _, err := os.Stat(filepath.Join(logs, "kube-apiserver.log")); err != nil {
		t.Errorf("the log is not where the error says: %v", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(logs), "etcd")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the database was kept: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(logs)); err != nil {
		t.Error(err)
	}
}

// deploy creates a Deployment of fake pods and waits until all of them run.
func deploy(t *testing.T, l *lab.Lab, name string, replicas int32) {
	t.Helper()
	pod := metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	err := l.Client().Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &pod,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pod.MatchLabels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "nothing-to-pull"}}},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pods of "+name, func() error {
		var pods corev1.PodList
		if err := l.Client().List(t.Context(), &pods, ctrlclient.MatchingLabels(pod.MatchLabels)); err != nil {
			return err
		}
		running := 0
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning && pod.Status.PodIP != "" {
				running++
			}
		}
		if running != int(replicas) {
			return fmt.Errorf("%d of %d run", running, replicas)
		}
		return nil
	})
}

func eventually(t *testing.T, what string, ready func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s: %v", limit, what, err)
		}
	}
}
