package query

import "fmt"

// A cluster asks one adapter for external metrics and one for custom metrics, and
// not always the same. What it asks another for is not served here.

// otherText says of a sort of metrics that the adapter of a Service is asked.
func otherText(sort, service string) string {
	return fmt.Sprintf("the cluster asks the adapter of Service %s for %s metrics: values are shown here and are not served", service, sort)
}

// other tells that another adapter is asked. Of values about objects it is told
// where there are any.
func (d *deciding) other() {
	if d.in.OtherAdapter != "" {
		d.step(ruleOther, ReasonOtherWriter, "%s", otherText("external", d.in.OtherAdapter))
	}
	if reading := d.in.Poll.Reading; d.in.OtherCustomAdapter != "" && reading != nil && len(reading.Objects) > 0 {
		d.step(ruleOther, ReasonOtherWriter, "%s", otherText("custom", d.in.OtherCustomAdapter))
	}
}

// blocked says why nothing of what the object is for is served, empty where
// something is.
func (d *deciding) blocked() string {
	switch {
	case d.in.OtherAdapter != "" && (len(d.served.Samples) > 0 || len(d.about) == 0):
		return otherText("external", d.in.OtherAdapter)
	case len(d.withheld) > 0:
		return otherText("custom", d.in.OtherCustomAdapter)
	}
	return ""
}

// acts tells whether something is to be published. Beside another adapter for
// external metrics that is only for what is about objects, and for samples that were
// served until then; samples are then published with the reason why they are not
// served: they would otherwise be held, or become stale, while the source is read.
func (d *deciding) acts() bool {
	if d.in.Mode != ModeAuto || d.served.Equal(d.state.Served) {
		return false
	}
	before := d.state.Served
	return d.in.OtherAdapter == "" || d.served.Objects.Count > 0 || before.Objects.Count > 0 ||
		(len(before.Samples) > 0 && before.Facts.OtherAdapter == "")
}
