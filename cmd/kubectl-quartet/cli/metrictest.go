package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/builtin"
	adaptersource "github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/formula"
	httpsource "github.com/quartet-autoscaling/quartet/adapter/source/http"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/draft"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/trial"
)

const metricTestLong = `test reads MetricSources and ClusterMetricSources from a file, checks them as the
cluster would, asks the live source from this machine, and prints the question,
the raw reply, each metric's value, its age and the time taken. Nothing is
written, neither to the cluster nor to the source.

It asks twice, a second apart, so that rates show. Secrets are read from the
cluster with your own permissions, unless they are given here; no credential is
ever printed. Where the source's name means something in the cluster only, forward
a port to it and say so with --connect.

The exit code is 0 where every metric has a value, 1 where one has none or an
object is not valid, and 2 where the command line is wrong.`

// metricTest is the command's flags.
type metricTest struct {
	file, output     string
	keys, files      []string
	connect          []string
	adapterNamespace string
	polls            int
	interval         time.Duration
	config           clientcmd.ClientConfig
}

func newMetricTest() *cobra.Command {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	overrides := &clientcmd.ConfigOverrides{}
	m := &metricTest{
		output: outputText, polls: 2, interval: time.Second, adapterNamespace: "quartet-system",
		config: clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides),
	}
	command := &cobra.Command{
		Use:   "test -f FILE",
		Short: "Evaluate a draft of a source against the live system",
		Long:  metricTestLong,
		Example: "  kubectl quartet metric test -f source.yaml\n" +
			"  kubectl quartet metric test -f source.yaml --secret orders-nats/password=@password.txt --connect nats.shop.svc:4222=127.0.0.1:4222",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return m.run(cmd) },
	}
	flags := command.Flags()
	flags.StringVarP(&m.file, "file", "f", "", "File with the draft; - reads standard input.")
	flags.StringVarP(&m.output, "output", "o", m.output, "Format of the answer: text or json.")
	flags.StringArrayVar(&m.keys, "secret", nil, "Key of a Secret to use in place of the cluster's, as NAME/KEY=VALUE or NAME/KEY=@FILE.")
	flags.StringArrayVar(&m.files, "secret-file", nil, "File of Secrets to use in place of the cluster's.")
	flags.StringArrayVar(&m.connect, "connect", nil, "Address to ask in place of another that the draft names, as OLD=NEW; each is host:port or any part of an address.")
	flags.StringVar(&m.adapterNamespace, "adapter-namespace", m.adapterNamespace, "Namespace of metrics-adapter, where the Secrets of a ClusterMetricSource are.")
	flags.IntVar(&m.polls, "polls", m.polls, "How often to ask the source; rates need two.")
	flags.DurationVar(&m.interval, "interval", m.interval, "Time between two polls.")
	flags.StringVar(&rules.ExplicitPath, "kubeconfig", "", "Path of the kubeconfig to use, instead of $KUBECONFIG or the one in the home folder.")
	clientcmd.BindOverrideFlags(overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	return command
}

func (m *metricTest) validate() error {
	switch {
	case m.file == "":
		return usageError{errors.New("--file: name the file of the draft, or - for standard input")}
	case m.output != outputText && m.output != outputJSON:
		return usageError{fmt.Errorf("--output: %q is not one of text, json", m.output)}
	case m.polls < 1 || m.polls > 100:
		return usageError{fmt.Errorf("--polls: %d is not from 1 to 100", m.polls)}
	case m.interval < 100*time.Millisecond:
		return usageError{fmt.Errorf("--interval: %s is shorter than 100ms", m.interval)}
	}
	for _, pair := range m.connect {
		if from, to, ok := strings.Cut(pair, "="); !ok || from == "" || to == "" {
			return usageError{fmt.Errorf("--connect: %q is not of the form OLD=NEW", pair)}
		}
	}
	return nil
}

func (m *metricTest) run(cmd *cobra.Command) error {
	if err := m.validate(); err != nil {
		return err
	}
	given, err := givenSecrets(m.keys, m.files)
	if err != nil {
		return err
	}
	raw, err := readInput(cmd, m.file)
	if err != nil {
		return err
	}
	objects, err := draft.Read(raw)
	if err != nil {
		return fmt.Errorf("read %s: %w", m.file, err)
	}
	var results []trial.Result
	whole := true
	for _, o := range objects {
		if !draft.IsSource(o) {
			continue // an HPA beside it, most often
		}
		s := &secrets{given: given, cluster: m.config}
		r, err := m.try(cmd.Context(), o, s)
		if err != nil {
			return err
		}
		results = append(results, r)
		whole = whole && r.Whole()
	}
	if len(results) == 0 {
		return fmt.Errorf("%s holds no MetricSource and no ClusterMetricSource", m.file)
	}
	if err := m.print(cmd, results); err != nil {
		return err
	}
	if !whole {
		return silentError{errors.New("not every metric has a value")}
	}
	return nil
}

// try checks one draft and asks its source.
func (m *metricTest) try(ctx context.Context, o *unstructured.Unstructured, s *secrets) (trial.Result, error) {
	object, err := draft.Source(o)
	if err != nil {
		return trial.Result{}, err
	}
	switch {
	case o.GetKind() == "ClusterMetricSource":
		s.namespace = m.adapterNamespace
	default:
		if object.GetNamespace() == "" {
			namespace, _, err := m.config.Namespace()
			if err != nil {
				return trial.Result{}, fmt.Errorf("read the namespace of the kubeconfig: %w", err)
			}
			object.SetNamespace(namespace)
			o = o.DeepCopy()
			o.SetNamespace(namespace)
		}
		s.namespace = object.GetNamespace()
	}
	if len(m.connect) > 0 {
		// After the draft itself was checked: another address may well be one that
		// an object could not have.
		if object, err = draft.Source(m.redirect(o)); err != nil {
			return trial.Result{}, fmt.Errorf("with --connect: %w", err)
		}
	}
	return trial.Run(ctx, trial.Config{
		Object: object, Builders: m.builders(), Secrets: s,
		Polls: m.polls, Pause: m.interval, Clock: clock.RealClock{}, Redact: s.redact,
	}), nil
}

// builders are all kinds of sources. What some of them look up in the adapter's
// own memory is asked of the cluster, as the user.
func (m *metricTest) builders() []adaptersource.Builder {
	return append(builtin.Builders(nil),
		httpsource.NewBuilder(httpsource.CachedPods{Reader: clusterReader{m.config}}),
		formula.NewBuilder(clusterMetrics{m.config}))
}

// redirect replaces addresses in every text of spec.source.
func (m *metricTest) redirect(o *unstructured.Unstructured) *unstructured.Unstructured {
	out := o.DeepCopy()
	spec, ok := out.Object["spec"].(map[string]any)
	if !ok {
		return out
	}
	for _, pair := range m.connect {
		from, to, _ := strings.Cut(pair, "=")
		spec["source"] = replaced(spec["source"], from, to)
	}
	return out
}

func replaced(value any, from, to string) any {
	switch v := value.(type) {
	case string:
		return strings.ReplaceAll(v, from, to)
	case []any:
		for i := range v {
			v[i] = replaced(v[i], from, to)
		}
	case map[string]any:
		for key := range v {
			v[key] = replaced(v[key], from, to)
		}
	}
	return value
}

func (m *metricTest) print(cmd *cobra.Command, results []trial.Result) error {
	if m.output == outputJSON {
		content, err := json.MarshalIndent(results, "", "  ")
		if err != nil {
			return fmt.Errorf("print the answer as json: %w", err)
		}
		_, err = cmd.OutOrStdout().Write(append(content, '\n'))
		return err
	}
	for i, r := range results {
		if i > 0 {
			if _, err := fmt.Fprintln(cmd.OutOrStdout()); err != nil {
				return err
			}
		}
		if _, err := cmd.OutOrStdout().Write([]byte(trialText(r))); err != nil {
			return err
		}
	}
	return nil
}

// maxObjects is how many values about objects are printed.
const maxObjects = 20

// trialText tells what came of a trial.
func trialText(r trial.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Object)
	facts(&b, [2]string{"Source", r.Source}, [2]string{"Query", r.Query})
	if f := r.Failure; f != nil {
		fmt.Fprintf(&b, "\nThe source cannot be asked: %s: %s\n", f.Reason, f.Message)
		return b.String()
	}
	for i, p := range r.Polls {
		fmt.Fprintf(&b, "\nPoll %d took %s", i+1, time.Duration(p.Milliseconds*float64(time.Millisecond)).Round(10*time.Microsecond))
		if p.Failure != nil {
			fmt.Fprintf(&b, " and failed: %s: %s", p.Failure.Reason, p.Failure.Message)
		}
		b.WriteString("\n")
		if i < len(r.Polls)-1 {
			continue // one raw reply says enough
		}
		for _, reply := range p.Replies {
			fmt.Fprintf(&b, "Raw reply of %s:\n%s\n", reply.From, indented(reply.Text))
		}
	}
	values(&b, r)
	return b.String()
}

func values(b *strings.Builder, r trial.Result) {
	rows := make([][]string, 0, len(r.Values))
	for _, v := range r.Values {
		row := []string{v.Metric, v.Shows, "-", "-", "-", "-"}
		if v.Fault != nil {
			row[5] = v.Fault.Reason + ": " + v.Fault.Message
		} else {
			row[2] = v.Value
		}
		if v.WindowSeconds > 0 {
			row[3] = (time.Duration(v.WindowSeconds) * time.Second).String()
		}
		if v.SampledAt != nil {
			row[4] = fmt.Sprintf("%s (%s)", time.Duration(v.AgeSeconds*float64(time.Second)).Round(time.Millisecond), v.SampledAt.Format(time.RFC3339Nano))
		}
		rows = append(rows, row)
	}
	table(b, "Values", []string{"METRIC", "SHOWS", "VALUE", "MEASURED OVER", "AGE", "WHY NOT"}, rows)
	rows = nil
	for i, o := range r.Objects {
		if i == maxObjects {
			rows = append(rows, []string{fmt.Sprintf("and %d more", len(r.Objects)-maxObjects), "", "", ""})
			break
		}
		rows = append(rows, []string{o.Metric, o.Object, labelText(o.Labels), o.Value})
	}
	table(b, "Values about objects", []string{"METRIC", "OBJECT", "LABELS", "VALUE"}, rows)
}

// maxReply is how much of a raw reply is printed, in bytes.
const maxReply = 4096

// indented is a text two blanks in, cut where it is very long.
func indented(text string) string {
	text = strings.TrimRight(text, "\n")
	if len(text) > maxReply {
		text = strings.ToValidUTF8(text[:maxReply], "") + fmt.Sprintf("\n... and %d bytes more (-o json prints all)", len(text)-maxReply)
	}
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}

func labelText(set map[string]string) string {
	if len(set) == 0 {
		return "-"
	}
	return labels.Set(set).String()
}
