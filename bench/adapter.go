package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	externalmetrics "k8s.io/metrics/pkg/apis/external_metrics"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// The load of the adapter's benchmark at scale.
const (
	scaleNamespaces = 10
	scaleMetrics    = 5000 // distinct ones, each with a query of its own
	scalePoll       = 15 * time.Second
	scaleReads      = 1000 // per second
	scaleFor        = 30 * time.Second
	scaleReaders    = 128 // at the most at one time
	scaleWarm       = 4 * time.Minute
	// scaleClients spread the reads over several connections, as several
	// controllers do.
	scaleClients = 4
)

// adapterScale is what one run at scale showed.
type adapterScale struct {
	p50, p99  float64 // milliseconds from the moment at which a read was due
	direct99  float64 // the same without the aggregation layer between
	rss       float64 // MiB
	sourceOff float64 // polls of the source per second without any reader
	sourceOn  float64 // and with readers
}

// atScale runs once, however many figures are taken from it.
var atScale = once(runAtScale)

func scaleFigure(unit string, take func(adapterScale) float64) func(context.Context) (result, error) {
	return func(ctx context.Context) (result, error) {
		s, err := atScale(ctx)
		return result{Value: take(s), Unit: unit}, err
	}
}

func runAtScale(ctx context.Context) (s adapterScale, err error) {
	documents, err := serveDocuments()
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, documents.close()) }()
	stage, err := startAdapter(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, stage.lab.Stop()) }()
	if err := stage.createSources(ctx, documents.url); err != nil {
		return s, err
	}
	if err := errors.Join(documents.awaitDistinct(ctx, scaleMetrics, scaleWarm), stage.awaitReady(ctx, scaleMetrics)); err != nil {
		return s, err
	}
	s.sourceOff = documents.rate(ctx, scaleFor)
	reading := make(chan float64, 1)
	go func() { reading <- documents.rate(ctx, scaleFor) }()
	clients, err := stage.readers(ctx)
	if err != nil {
		return s, err
	}
	took, err := read(ctx, clients.layer)
	if err != nil {
		return s, err
	}
	s.sourceOn = <-reading
	s.p50, s.p99 = took[len(took)/2], took[len(took)*99/100]
	if took, err = read(ctx, clients.direct); err != nil {
		return s, err
	}
	s.direct99 = took[len(took)*99/100]
	s.rss, err = residentMiB(stage.release.Process("metrics-adapter").PID())
	return s, err
}

// adapterStage is a control plane with nothing but the adapter.
type adapterStage struct {
	lab     *lab.Lab
	release *lab.Release
}

func startAdapter(ctx context.Context) (*adapterStage, error) {
	l, err := lab.Start(ctx, lab.Options{Name: "bench", NoKwok: true, NoScheduler: true})
	if err != nil {
		return nil, err
	}
	s := &adapterStage{lab: l}
	if s.release, err = l.InstallChart(ctx, lab.ChartOptions{Values: map[string]any{
		"metricsAdapter": map[string]any{"secretNamespaces": []any{"*"}},
		"hpaController":  map[string]any{"enabled": false},
	}}); err == nil {
		err = s.release.WaitReady(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.Stop())
	}
	return s, nil
}

func scaleNamespace(i int) string { return "load-" + strconv.Itoa(i%scaleNamespaces) }
func scaleMetric(i int) string    { return "depth-" + strconv.Itoa(i) }

func (s *adapterStage) createSources(ctx context.Context, url string) error {
	for i := range scaleNamespaces {
		if err := s.lab.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: scaleNamespace(i)}}); err != nil {
			return fmt.Errorf("create a namespace: %w", err)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(scaleReaders / 8)
	for i := range scaleMetrics {
		g.Go(func() error {
			return s.lab.Client().Create(ctx, &v1alpha1.MetricSource{
				ObjectMeta: metav1.ObjectMeta{Namespace: scaleNamespace(i), Name: scaleMetric(i)},
				Spec: v1alpha1.MetricSourceSpec{
					PollInterval: metav1.Duration{Duration: scalePoll},
					Source:       v1alpha1.Source{HTTP: &v1alpha1.HTTPSource{URL: url + "/" + strconv.Itoa(i), JSONPath: "{.depth}"}},
					Metrics:      []v1alpha1.SourceMetric{{Name: scaleMetric(i), Value: v1alpha1.ValueQuery}},
				},
			})
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("create the MetricSources: %w", err)
	}
	return nil
}

// awaitReady waits until the status of so many objects, all there are, says that it is served: the state
// of a cluster in which nothing was just installed.
func (s *adapterStage) awaitReady(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, scaleWarm)
	defer cancel()
	for {
		var all v1alpha1.MetricSourceList
		if err := s.lab.Client().List(ctx, &all); err != nil {
			return fmt.Errorf("list the MetricSources: %w", err)
		}
		ready := 0
		for _, m := range all.Items {
			if apimeta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady) {
				ready++
			}
		}
		if ready == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d MetricSources are Ready: %w", ready, want, ctx.Err())
		case <-time.After(2 * time.Second):
		}
	}
}

// read asks for random metrics at the set rate, and gives the milliseconds that each
// read took from the moment at which it was due, sorted: a read that had to wait for
// others counts its waiting.
func read(ctx context.Context, clients []rest.Interface) ([]float64, error) {
	total := scaleReads * int(scaleFor/time.Second)
	took := make([]float64, total)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(scaleReaders)
	random := rand.New(rand.NewPCG(1, 2))
	begin := time.Now()
	for n := range total {
		due := begin.Add(time.Duration(n) * time.Second / scaleReads)
		time.Sleep(time.Until(due))
		i, client := random.IntN(scaleMetrics), clients[n%scaleClients]
		g.Go(func() error {
			_, err := readMetric(ctx, client, scaleNamespace(i), scaleMetric(i))
			took[n] = float64(time.Since(due)) / float64(time.Millisecond)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read a metric: %w", err)
	}
	slices.Sort(took)
	return took, nil
}

// readers are clients with connections of their own: through the aggregation layer,
// and to the adapter itself.
type readers struct{ layer, direct []rest.Interface }

func (s *adapterStage) readers(ctx context.Context) (r readers, err error) {
	url, err := s.release.Process("metrics-adapter").URL()
	if err != nil {
		return r, fmt.Errorf("find the adapter: %w", err)
	}
	for i := range scaleClients {
		config, err := s.reader(ctx, "reader-"+strconv.Itoa(i))
		if err != nil {
			return r, err
		}
		layer, err := firstRead(ctx, config)
		if err != nil {
			return r, err
		}
		direct, err := firstRead(ctx, directly(config, url))
		if err != nil {
			return r, err
		}
		r.layer, r.direct = append(r.layer, layer), append(r.direct, direct)
	}
	return r, nil
}

// firstRead makes a client that has read: the API server hears of a binding some time
// after it was made.
func firstRead(ctx context.Context, config *rest.Config) (rest.Interface, error) {
	client, err := externalMetricsClient(config)
	if err != nil {
		return nil, err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := readMetric(ctx, client, scaleNamespace(0), scaleMetric(0))
		return err == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read as a ServiceAccount: %w", err)
	}
	return client, nil
}

// reader is a ServiceAccount with the rights of a controller that reads metrics.
func (s *adapterStage) reader(ctx context.Context, name string) (*rest.Config, error) {
	meta := metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, Name: name}
	for _, object := range []ctrlclient.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{externalmetrics.GroupName}, Resources: []string{"*"}, Verbs: []string{"list"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: meta.Namespace, Name: name}},
		},
	} {
		if err := s.lab.Client().Create(ctx, object); err != nil {
			return nil, fmt.Errorf("create a reader: %w", err)
		}
	}
	return s.lab.ServiceAccountConfig(ctx, meta.Namespace, name)
}
