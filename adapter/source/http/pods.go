package httpsource

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// podsAtOnce is how many pods of one object are asked at the same time. They
// share the poll's timeout.
const podsAtOnce = 16

// Pod is one pod that can be asked.
type Pod struct {
	Name string
	IP   string
	// Ports are the numbers of its named ports.
	Ports map[string]int32
}

// Pods tells which pods there are.
type Pods interface {
	// Ready gives the pods of a namespace that are Ready and have an address,
	// sorted by name.
	Ready(ctx context.Context, namespace string, selector labels.Selector) ([]Pod, error)
}

// podsPoller reads the document of each Ready pod.
type podsPoller struct {
	documents
	group *group
}

// result is what came of asking one pod.
type result struct {
	answer
	err error
}

// Poll asks every pod that is Ready now.
func (p *podsPoller) Poll(ctx context.Context) (query.Reading, error) {
	asked := time.Now().UTC().Round(0)
	pods, err := p.group.pods.Ready(ctx, p.group.namespace, p.group.selector)
	switch {
	case access.IsTimeout(err):
		return query.Reading{}, source.Errorf(reasonNotListed, "the pods of namespace %s are not known in time; metrics-adapter must be allowed to list and watch pods", p.group.namespace)
	case err != nil:
		return query.Reading{}, source.Errorf(reasonNotListed, "the pods of namespace %s are not known: %v", p.group.namespace, err)
	}
	results := make([]result, len(pods))
	slots := make(chan struct{}, podsAtOnce)
	var asking sync.WaitGroup
	for i, pod := range pods {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			defer source.Recovered(&results[i].err)
			results[i].answer, results[i].err = p.ask(ctx, pod)
		})
	}
	asking.Wait()
	return p.group.reading(asked, pods, results)
}

// ask reads one pod's document.
func (p *podsPoller) ask(ctx context.Context, pod Pod) (answer, error) {
	port := p.group.port.IntVal
	if p.group.port.Type == intstr.String {
		named, ok := pod.Ports[p.group.port.StrVal]
		if !ok {
			return answer{}, source.Errorf(source.ReasonFailed, "it has no port of the name %s", p.group.port.StrVal)
		}
		port = named
	}
	root := url.URL{Scheme: p.group.scheme, Host: net.JoinHostPort(pod.IP, strconv.Itoa(int(port)))}
	return p.get(ctx, root.String()+p.group.path)
}
