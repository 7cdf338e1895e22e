package query

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Objects is the part of Served that is about Kubernetes objects, each value one
// of a metric, an object and labels. The values themselves are not recorded: they
// follow from the reading and the spec, and there can be thousands of them. Count
// and Digest stand for them in the ledger and where two tables are compared.
type Objects struct {
	// Values have a metric's name each, are sorted as CompareObjects says, and none
	// is there twice.
	Values []ObjectValue `json:"-"`
	Count  int           `json:"count,omitempty"`
	// Digest is of all that the values say, empty where there are none.
	Digest string `json:"digest,omitempty"`
}

func (o Objects) equal(other Objects) bool { return o.Count == other.Count && o.Digest == other.Digest }

// Why a value about an object is left out, in words that follow a number.
const (
	leftForeign   = "of objects outside of the MetricSource's namespace"
	leftTaken     = "of metric names that an older MetricSource serves"
	leftUnusable  = "without a usable name of metric, resource or object"
	leftTwice     = "that were given twice"
	leftUndefined = "without a metric's name, while no metric has the value Value"
)

// leftOut counts what is not served, by why, with the first of each.
type leftOut map[string]*struct {
	count int
	first string
}

func (l leftOut) add(why string, v ObjectValue) {
	entry := l[why]
	if entry == nil {
		entry = &struct {
			count int
			first string
		}{first: v.object()}
		l[why] = entry
	}
	entry.count++
}

func (l leftOut) String() string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, fmt.Sprintf("%d %s (first %s)", l[why].count, why, l[why].first))
	}
	return strings.Join(parts, ", ")
}

// object names what the value is about, for people.
func (v ObjectValue) object() string {
	resource := v.Resource
	if v.Group != "" {
		resource += "." + v.Group
	}
	name := v.Name
	if v.Namespace != "" {
		name = v.Namespace + "/" + name
	}
	return resource + " " + name
}

// objects gathers what is served about objects from the newest reading.
func (d *deciding) objects() {
	if d.in.Poll.Reading == nil || len(d.in.Poll.Reading.Objects) == 0 {
		return
	}
	left := leftOut{}
	values := d.named(d.in.Poll.Reading.Objects, left)
	if !slices.IsSortedFunc(values, CompareObjects) {
		slices.SortStableFunc(values, CompareObjects)
	}
	d.about = once(values, left)
	if n := len(d.about); n > 0 && d.in.OtherCustomAdapter == "" {
		d.served.Objects = Objects{Values: d.about, Count: n, Digest: digest(d.about)}
	}
	reason, message := "Measured", fmt.Sprintf("%d values are about objects", len(d.about))
	if len(left) > 0 {
		reason = "LeftOut"
		message += "; left out: " + left.String()
	}
	d.step(ruleObjects, reason, "%s", message)
}

// named gives each value that may be served under each metric that it is of.
func (d *deciding) named(given []ObjectValue, left leftOut) []ObjectValue {
	out := make([]ObjectValue, 0, len(given))
	own := d.valueMetrics()
	for _, v := range given {
		if v.Presence == Number && (math.IsNaN(v.Value) || math.IsInf(v.Value, 0)) {
			v.Gauge = Gauge{Presence: NotANumber}
		}
		switch {
		case !v.usable():
			left.add(leftUnusable, v)
		case d.in.Unit.Namespace != "" && v.Namespace != d.in.Unit.Namespace:
			left.add(leftForeign, v)
		case v.Metric == "" && len(own) == 0:
			left.add(leftUndefined, v)
		case v.Metric == "":
			out = d.underEach(own, v, out, left)
		case d.taken[v.Metric] != "":
			left.add(leftTaken, v)
		default:
			out = append(out, v)
		}
	}
	return out
}

// underEach appends the value under the name of each metric, with the metric's
// labels beside its own.
func (d *deciding) underEach(metrics []Metric, v ObjectValue, out []ObjectValue, left leftOut) []ObjectValue {
	for _, m := range metrics {
		if d.taken[m.Name] != "" {
			left.add(leftTaken, v)
			continue
		}
		named := v
		named.Metric = m.Name
		switch {
		case len(m.Labels) == 0:
		case len(v.Labels) == 0:
			named.Labels = m.Labels
		default:
			named.Labels = maps.Clone(m.Labels)
			maps.Copy(named.Labels, v.Labels)
		}
		out = append(out, named)
	}
	return out
}

// valueMetrics are the metrics that values without a name are served as.
func (d *deciding) valueMetrics() []Metric {
	var out []Metric
	for _, m := range d.in.Spec.Metrics {
		if m.Kind == Value {
			out = append(out, m)
		}
	}
	return out
}

// usable tells whether the names can stand in the path of a request.
func (v ObjectValue) usable() bool {
	return !strings.Contains(v.Metric, "/") &&
		v.Resource != "" && !strings.ContainsAny(v.Resource, "./") && !strings.Contains(v.Group, "/") &&
		v.Name != "" && v.Name != "*" && !strings.Contains(v.Name, "/") && !strings.Contains(v.Namespace, "/")
}

// once drops what is there twice from sorted values, keeping the first.
func once(values []ObjectValue, left leftOut) []ObjectValue {
	return slices.CompactFunc(values, func(a, b ObjectValue) bool {
		same := CompareObjects(a, b) == 0
		if same {
			left.add(leftTwice, b)
		}
		return same
	})
}

// perObject tells whether a metric is served of objects only: the source gives no
// value of its own for it. It is called after objects.
func (d *deciding) perObject(metric Metric) bool {
	if metric.Kind != Value || d.in.Poll.Reading == nil || d.in.Poll.Reading.Gauges[Value].Presence != Absent {
		return false
	}
	_, found := slices.BinarySearchFunc(d.about, metric.Name, func(v ObjectValue, name string) int {
		return strings.Compare(v.Metric, name)
	})
	if found && d.in.OtherCustomAdapter != "" {
		d.withheld = append(d.withheld, metric.Name)
	}
	return found
}

// CompareObjects orders values by metric, resource, group, namespace, name and
// labels; values that are equal in these are of one series.
func CompareObjects(a, b ObjectValue) int {
	return cmp.Or(
		strings.Compare(a.Metric, b.Metric),
		strings.Compare(a.Resource, b.Resource), strings.Compare(a.Group, b.Group),
		strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
		compareLabels(a.Labels, b.Labels),
	)
}

func compareLabels(a, b map[string]string) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(a), len(b))
	}
	return slices.Compare(flat(a), flat(b))
}

// flat lists names and values in order of names.
func flat(labels map[string]string) []string {
	out := make([]string, 0, 2*len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, name, labels[name])
	}
	return out
}

// digest is a hash of all that sorted values say.
func digest(values []ObjectValue) string {
	if len(values) == 0 {
		return ""
	}
	hash := sha256.New()
	var line []byte
	text := func(s string) {
		line = binary.AppendUvarint(line, uint64(len(s)))
		line = append(line, s...)
	}
	for _, v := range values {
		line = line[:0]
		for _, s := range []string{v.Metric, v.Resource, v.Group, v.Namespace, v.Name, string(v.Presence)} {
			text(s)
		}
		line = binary.AppendUvarint(line, uint64(len(v.Labels)))
		if len(v.Labels) > 0 {
			for _, s := range flat(v.Labels) {
				text(s)
			}
		}
		line = binary.BigEndian.AppendUint64(line, math.Float64bits(v.Value))
		line = binary.AppendVarint(line, v.WindowSeconds)
		if !v.At.IsZero() {
			line = binary.AppendVarint(line, v.At.UnixNano())
		}
		// A hash never fails to write.
		_, _ = hash.Write(line)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// MeasuredAt is when the value was measured: its own time, or its reading's.
func (v ObjectValue) MeasuredAt(f Facts) Time {
	if v.At.IsZero() {
		return f.SampledAt
	}
	return v.At
}

// ServeObject gives the value about an object that a read at the time now is
// answered with, or why it is an error. A value that has a time of its own is
// judged by that, and not by its reading's. Policies for what is stale hold as
// they do for metrics without an object.
func ServeObject(v ObjectValue, f Facts, now Time) (float64, *decision.Fault) {
	f.SampledAt = v.MeasuredAt(f)
	if fault := f.judgeAge(now); fault != nil {
		return 0, fault
	}
	fault := func(reason, format string, args ...any) *decision.Fault {
		return &decision.Fault{Source: f.Source, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	switch v.Presence {
	case Number:
		return f.Raise(v.Value, f.SampledAt, now), nil
	case Empty:
		return 0, fault("EmptyReply", "the source answered without a value of %s for %s", v.Metric, v.object())
	case NotANumber:
		return 0, fault("NotANumber", "the source answered with a value of %s for %s that is not a finite number", v.Metric, v.object())
	}
	return 0, fault("ValueNotGiven", "the source does not give %s for %s", v.Metric, v.object())
}

// NeverRead gives the fault of an object that was never read, nil for one that
// was: what it will say about objects is then not known, and not "nothing".
func (f Facts) NeverRead() *decision.Fault {
	if !f.SampledAt.IsZero() {
		return nil
	}
	return f.noSample()
}
