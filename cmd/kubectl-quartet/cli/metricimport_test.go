package cli_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/draft"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/metricimport"
)

const scaledObject = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: mails }
spec:
  scaleTargetRef: { name: mailer }
  triggers:
    - type: redis
      metadata: { address: "redis.shop:6379", listName: mails, listLength: "25", password: ` + password + ` }
`

const adapterRules = `
rules:
  - seriesQuery: 'queue_depth{namespace!=""}'
    resources: { template: "<<.Resource>>" }
    metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`

func TestImport(t *testing.T) {
	file := write(t, "rules.yaml", adapterRules)
	for name, c := range map[string]struct {
		input     string
		args      []string
		code      int
		out, errs []string
	}{
		"a ScaledObject": {
			input: scaledObject, args: []string{"-f", "-"},
			out:  []string{"kind: MetricSource\n", "namespace: default\n", "---\n", "kind: HorizontalPodAutoscaler\n", "minReplicas: 1\n", `averageValue: "25"`},
			errs: []string{"ScaledObject default/mails\n", "  Changed   spec.minReplicaCount: ", "  FillIn    spec.triggers[0].metadata.password: it stands in clear text"},
		},
		"to zero, in a namespace": {
			input: scaledObject, args: []string{"-f", "-", "--scale-to-zero", "-n", "shop"},
			out: []string{"minReplicas: 0\n", "namespace: shop\n"}, errs: []string{"ScaledObject shop/mails\n"},
		},
		"two files": {
			input: scaledObject, args: []string{"-f", "-", "-f", file, "--prometheus-url", "http://prometheus.monitoring:9090"},
			out: []string{"kind: MetricSource\n", "kind: ClusterMetricSource\n", "http://prometheus.monitoring:9090"},
		},
		"nothing of ours": {input: "kind: ConfigMap\napiVersion: v1\n", args: []string{"-f", "-"}, code: 1, errs: []string{"nothing was made"}},
		"a broken file":   {input: "{", args: []string{"-f", "-"}, code: 1, errs: []string{"read -: document 1"}},
		"no such file":    {args: []string{"-f", "not-there.yaml"}, code: 1, errs: []string{"not-there.yaml"}},
		"no file":         {code: 2, errs: []string{"--file"}},
		"a format":        {args: []string{"-f", "-", "--report", "xml"}, code: 2, errs: []string{"--report"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, c.input, append([]string{"metric", "import"}, c.args...)...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d:\n%s%s", got.code, c.code, got.out, got.err)
			}
			for _, want := range c.out {
				if !strings.Contains(got.out, want) {
					t.Errorf("%q is missing in:\n%s", want, got.out)
				}
			}
			for _, want := range c.errs {
				if !strings.Contains(got.err, want) {
					t.Errorf("%q is missing in:\n%s", want, got.err)
				}
			}
		})
	}
}

// TestWhatIsImportedIsADraft: what import writes, test reads.
func TestWhatIsImportedIsADraft(t *testing.T) {
	got := run(t, scaledObject, "metric", "import", "-f", "-", "--report", "json")
	var notes []metricimport.Note
	if err := json.Unmarshal([]byte(got.err), &notes); err != nil || len(notes) == 0 {
		t.Errorf("the list is no JSON (%v):\n%s", err, got.err)
	}
	objects, err := draft.Read([]byte(got.out))
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	if _, err := draft.Source(objects[0]); err != nil {
		t.Error(err)
	}
}

// TestExamplesAreDrafts reads what is shipped as the command would.
func TestExamplesAreDrafts(t *testing.T) {
	const folder = "../../../deploy/examples/"
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	sources := 0
	for _, file := range files {
		raw, err := os.ReadFile(folder + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		objects, err := draft.Read(raw)
		if err != nil {
			t.Errorf("%s: %v", file.Name(), err)
		}
		for _, o := range objects {
			if !draft.IsSource(o) {
				continue
			}
			sources++
			if _, err := draft.Source(o); err != nil {
				t.Errorf("%s: %v", file.Name(), err)
			}
		}
	}
	if sources < 2 {
		t.Errorf("found %d sources only", sources)
	}
}
