// Package kwok makes the nodes of a pool as kwok's fake nodes: objects that kwok
// then keeps ready. A node takes its boot time from when it was first asked for,
// also where another process goes on with it. It plays no kubelet and judges no
// pool.
package kwok

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/provider"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// Annotations that kwok and metrics-server look for.
const (
	managedAnnotation = "kwok.x-k8s.io/node"
	metricsAnnotation = "metrics.k8s.io/resource-metrics-path"
)

// retry is the pause after a node that could not be made.
const retry = 2 * time.Second

// Provider makes fake nodes. Start it before asking it for any.
type Provider struct {
	nodes typedcorev1.NodeInterface
	clock clock.WithDelayedExecution

	mu sync.Mutex
	// booting holds, by pool, the nodes that are on their way.
	booting map[string]map[string]bool
	// life ends when the provider does; nil before Start.
	life context.Context
	work sync.WaitGroup
}

var _ provider.Provider = (*Provider)(nil)

// New makes a provider that writes nodes with the client.
func New(nodes typedcorev1.NodeInterface, c clock.WithDelayedExecution) *Provider {
	return &Provider{nodes: nodes, clock: c, booting: map[string]map[string]bool{}}
}

// Start lets nodes boot until the context ends. It forgets nodes on their way
// then: whoever leads next asks again for them.
func (p *Provider) Start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = ctx
}

// Wait returns once no node boots any more, after the context of Start ended.
func (p *Provider) Wait() { p.work.Wait() }

// Create begins the boot of a node.
func (p *Provider) Create(_ context.Context, o provider.Order) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil || p.life.Err() != nil {
		return errors.New("the provider kwok is not running")
	}
	if p.booting[o.Pool][o.Request.Name] {
		return nil
	}
	if p.booting[o.Pool] == nil {
		p.booting[o.Pool] = map[string]bool{}
	}
	p.booting[o.Pool][o.Request.Name] = true
	life := p.life
	p.work.Go(func() { p.boot(life, o) })
	return nil
}

// boot waits for the boot time and makes the node, until it is there or the
// provider ends.
func (p *Provider) boot(ctx context.Context, o provider.Order) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.booting[o.Pool], o.Request.Name)
	}()
	node := object(o)
	for wait := o.Request.At.Add(o.BootTime).Sub(p.clock.Now()); ; wait = retry {
		if wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-p.clock.After(wait):
			}
		}
		_, err := p.nodes.Create(ctx, node, metav1.CreateOptions{})
		switch {
		case err == nil, apierrors.IsAlreadyExists(err), ctx.Err() != nil:
			return
		}
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not make a node",
			slog.String("node", node.Name), slog.Any("error", err))
	}
}

func object(o provider.Order) *corev1.Node {
	capacity := o.Template.Capacity.DeepCopy()
	if _, ok := capacity[corev1.ResourcePods]; !ok && capacity != nil {
		capacity[corev1.ResourcePods] = o.Node.Allocatable[corev1.ResourcePods]
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.Request.Name, Labels: o.Node.Labels,
			Annotations: map[string]string{
				managedAnnotation: "fake",
				metricsAnnotation: "/metrics/nodes/" + o.Request.Name + "/metrics/resource",
			},
		},
		Spec:   corev1.NodeSpec{Taints: slices.Concat(o.Node.Taints, o.Template.StartupTaints)},
		Status: corev1.NodeStatus{Capacity: capacity, Allocatable: o.Node.Allocatable},
	}
}

// Delete removes the node's object.
func (p *Provider) Delete(ctx context.Context, name, uid string) error {
	id := types.UID(uid)
	err := p.nodes.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &id}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", name, err)
	}
	return nil
}

// Accepted names the nodes of a pool that are on their way.
func (p *Provider) Accepted(pool string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return nodepool.Names(p.booting[pool])
}
