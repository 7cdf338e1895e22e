package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/draft"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/metricimport"
)

const metricImportLong = `import turns the objects of other adapters into ours: a configuration of
prometheus-adapter (its ConfigMap, or the bare YAML in it) into ClusterMetricSources,
and KEDA's ScaledObjects, with their TriggerAuthentications, into MetricSources
and HorizontalPodAutoscalers.

The objects are written to standard output as YAML, each of them one that the
cluster accepts. What could not be mapped, is not quite the same, or must be filled
in is listed on standard error, by field. Nothing is written to a cluster, and no
credential is repeated: where one stands in clear text, a Secret that is still to
be made is named in its place.`

// metricImport is the command's flags.
type metricImport struct {
	files         []string
	report        string
	namespace     string
	prometheusURL string
	scaleToZero   bool
}

func newMetricImport() *cobra.Command {
	m := &metricImport{report: outputText, namespace: "default"}
	command := &cobra.Command{
		Use:   "import -f FILE...",
		Short: "Make sources and HPAs of prometheus-adapter's rules and KEDA's ScaledObjects",
		Long:  metricImportLong,
		Example: "  kubectl get scaledobjects,triggerauthentications -n shop -o yaml | kubectl quartet metric import -f - > sources.yaml\n" +
			"  kubectl quartet metric import -f config.yaml --prometheus-url http://prometheus.monitoring:9090",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return m.run(cmd) },
	}
	flags := command.Flags()
	flags.StringArrayVarP(&m.files, "file", "f", nil, "File to read, as often as there are files; - reads standard input.")
	flags.StringVar(&m.report, "report", m.report, "Format of the list on standard error: text or json.")
	flags.StringVarP(&m.namespace, "namespace", "n", m.namespace, "Namespace of objects that name none.")
	flags.StringVar(&m.prometheusURL, "prometheus-url", "", "Server of a configuration of prometheus-adapter. Empty takes it from its Deployment, where that is read too.")
	flags.BoolVar(&m.scaleToZero, "scale-to-zero", false, "Write minReplicas 0 for ScaledObjects that go to zero; the API server needs its feature gate HPAScaleToZero for it.")
	return command
}

func (m *metricImport) run(cmd *cobra.Command) error {
	switch {
	case len(m.files) == 0:
		return usageError{errors.New("--file: name a file to read, or - for standard input")}
	case m.report != outputText && m.report != outputJSON:
		return usageError{fmt.Errorf("--report: %q is not one of text, json", m.report)}
	}
	var objects []*unstructured.Unstructured
	for _, file := range m.files {
		raw, err := readInput(cmd, file)
		if err != nil {
			return err
		}
		read, err := draft.Read(raw)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		objects = append(objects, read...)
	}
	result := metricimport.Run(objects, metricimport.Options{
		Namespace: m.namespace, PrometheusURL: m.prometheusURL, ScaleToZero: m.scaleToZero, Check: checkMade,
	})
	if err := writeObjects(cmd.OutOrStdout(), result.Objects); err != nil {
		return err
	}
	if err := m.writeNotes(cmd.ErrOrStderr(), result.Notes); err != nil {
		return err
	}
	if len(result.Objects) == 0 {
		return errors.New("nothing was made: there is no configuration of prometheus-adapter and no ScaledObject that could be mapped")
	}
	return nil
}

// checkMade tells what the cluster would refuse, by the rules and without the
// values, which may hold credentials, and what cannot be written as YAML.
func checkMade(o *unstructured.Unstructured) error {
	if _, err := yaml.Marshal(o.Object); err != nil {
		return errors.New("it holds characters that YAML cannot")
	}
	if !draft.IsSource(o) {
		return nil
	}
	_, err := draft.Source(o)
	var invalid *draft.Invalid
	if errors.As(err, &invalid) && len(invalid.Rules) > 0 {
		return errors.New(strings.Join(invalid.Rules, "; "))
	}
	return err
}

func writeObjects(w io.Writer, objects []*unstructured.Unstructured) error {
	for i, o := range objects {
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("write %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if i > 0 {
			raw = append([]byte("---\n"), raw...)
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

func (m *metricImport) writeNotes(w io.Writer, notes []metricimport.Note) error {
	if m.report == outputJSON {
		if notes == nil {
			notes = []metricimport.Note{}
		}
		raw, err := json.MarshalIndent(notes, "", "  ")
		if err != nil {
			return fmt.Errorf("print the list as json: %w", err)
		}
		_, err = w.Write(append(raw, '\n'))
		return err
	}
	var b strings.Builder
	object := ""
	for _, n := range notes {
		if n.Object != object {
			object = n.Object
			fmt.Fprintf(&b, "%s\n", object)
		}
		fmt.Fprintf(&b, "  %-9s %s: %s\n", n.Level, n.Field, n.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
