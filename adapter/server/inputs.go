package server

import (
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source/formula"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// inputs gives formulas the metrics that this adapter serves, judged as for any
// other reader. What only a peer serves is no input: reads of it are another
// adapter's, and a formula reads at each poll.
type inputs struct {
	table *table.Table
	clock clock.PassiveClock
}

var _ formula.Values = inputs{}

// Value gives the metric as a client would be given it.
func (i inputs) Value(namespace, metric string) (float64, time.Time, *decision.Fault) {
	entry, ok := i.table.Get(namespace, metric)
	if !ok {
		return 0, time.Time{}, &decision.Fault{
			Reason: reasonNotFound, Message: fmt.Sprintf("no MetricSource in namespace %s serves metric %s", namespace, metric),
		}
	}
	sample, fault := query.Serve(entry.Sample, *entry.Facts, i.clock.Now())
	return sample.Value, entry.Facts.SampledAt, fault
}

// Watch calls changed after every change of the metric.
func (i inputs) Watch(namespace, metric string, changed func()) (stop func()) {
	return i.table.Watch(namespace, metric, changed)
}
