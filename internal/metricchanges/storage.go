package metricchanges

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/watch"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
)

// Storage answers get, list and watch from a Store.
type Storage struct{ store *Store }

var (
	_ rest.Getter               = (*Storage)(nil)
	_ rest.Lister               = (*Storage)(nil)
	_ rest.Watcher              = (*Storage)(nil)
	_ rest.Scoper               = (*Storage)(nil)
	_ rest.SingularNameProvider = (*Storage)(nil)
)

// NewStorage serves a store.
func NewStorage(s *Store) *Storage { return &Storage{store: s} }

// New gives the type of the resource.
func (s *Storage) New() runtime.Object { return &MetricChange{} }

// NewList gives the type of the resource's list.
func (s *Storage) NewList() runtime.Object { return &MetricChangeList{} }

// Destroy has nothing to release.
func (s *Storage) Destroy() {}

// NamespaceScoped tells that metrics are of namespaces.
func (s *Storage) NamespaceScoped() bool { return true }

// GetSingularName is what kubectl also takes the resource by.
func (s *Storage) GetSingularName() string { return "metricchange" }

// Get answers with one metric.
func (s *Storage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	found, ok := s.store.Get(Key{genericrequest.NamespaceValue(ctx), name})
	if !ok {
		return nil, apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource).GroupResource(), name)
	}
	return found, nil
}

// List answers with the metrics of the request's namespace, or with all.
func (s *Storage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	return s.store.List(matching(ctx, options)), nil
}

// Watch follows the metrics of the request's namespace, or all.
func (s *Storage) Watch(ctx context.Context, options *internalversion.ListOptions) (watch.Interface, error) {
	o := WatchOptions{Match: matching(ctx, options), Anew: true}
	if options == nil {
		return s.store.Watch(o)
	}
	o.Bookmarks = options.AllowWatchBookmarks
	initial := options.SendInitialEvents
	switch {
	case initial != nil && *initial:
		o.MarkEnd = o.Bookmarks
	case options.ResourceVersion == "" || options.ResourceVersion == "0":
		if initial != nil {
			// From now on, without what is there.
			o.Anew, o.From = false, s.store.version()
		}
	default:
		version, err := strconv.ParseUint(options.ResourceVersion, 10, 64)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion %q is not a number", options.ResourceVersion))
		}
		o.Anew, o.From = false, version
	}
	return s.store.Watch(o)
}

// version is that of the last change.
func (s *Store) version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// matching selects by the namespace and the selectors of a request.
func matching(ctx context.Context, options *internalversion.ListOptions) func(*MetricChange) bool {
	namespace := genericrequest.NamespaceValue(ctx)
	byLabel, byField := labels.Everything(), fields.Everything()
	if options != nil && options.LabelSelector != nil {
		byLabel = options.LabelSelector
	}
	if options != nil && options.FieldSelector != nil {
		byField = options.FieldSelector
	}
	return func(c *MetricChange) bool {
		return (namespace == "" || c.Namespace == namespace) &&
			byLabel.Matches(labels.Set(c.Labels)) && byField.Matches(c.Fields())
	}
}

// columns are what kubectl get prints.
var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the metric."},
	{Name: "Value", Type: "string", Description: "What a read gives, or why it gives none."},
	{Name: "Age", Type: "string", Description: "Time since the source measured."},
	{Name: "Source", Type: "string", Description: "The object that serves the metric."},
}

// ConvertToTable makes what kubectl get prints.
func (s *Storage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		table.ColumnDefinitions = columns
	}
	switch o := object.(type) {
	case *MetricChange:
		table.ResourceVersion = o.ResourceVersion
		table.Rows = []metav1.TableRow{s.row(o)}
	case *MetricChangeList:
		table.ListMeta = o.ListMeta
		for i := range o.Items {
			table.Rows = append(table.Rows, s.row(&o.Items[i]))
		}
	default:
		return nil, fmt.Errorf("no table of %T", object)
	}
	return table, nil
}

func (s *Storage) row(c *MetricChange) metav1.TableRow {
	value, age := c.Reason, "<unknown>"
	if c.Value != nil {
		value = c.Value.String()
	}
	if c.SampledAt != nil {
		age = duration.HumanDuration(s.store.clock.Since(c.SampledAt.Time))
	}
	return metav1.TableRow{
		Cells:  []any{c.Name, value, age, c.SourceRef.Kind + "/" + c.SourceRef.Name},
		Object: runtime.RawExtension{Object: c},
	}
}
