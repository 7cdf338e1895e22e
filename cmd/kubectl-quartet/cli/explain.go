package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// subject is what explain can be asked about.
type subject struct {
	// names are what the user types, the first in help.
	names []string
	// short is the help's line, and example the name of an example with its flags.
	short, example string
	ask            func(ctx context.Context, a *asker, name string) (answer, error)
}

// answer is what explain prints.
type answer interface {
	// text tells it in plain words, at a time.
	text(now time.Time) string
	// value is what is printed as JSON and YAML.
	value() any
}

var subjects = []subject{
	{
		names: []string{"hpa", "horizontalpodautoscaler", "horizontalpodautoscalers"},
		short: "Tell what was last decided on a HorizontalPodAutoscaler, and why", example: "orders -n shop",
		ask: explainHPA,
	},
	{
		names: []string{"horizontalscaler", "hscaler", "horizontalscalers"},
		short: "Tell what was last decided on a HorizontalScaler, and why", example: "orders -n shop",
		ask: explainScaler,
	},
	{
		names: []string{"vpa", "verticalpodautoscaler", "verticalpodautoscalers"},
		short: "Tell what a VerticalPodAutoscaler recommends, and what becomes of its pods", example: "orders -n shop",
		ask: explainVPA,
	},
	{
		names: []string{"pod", "po", "pods"},
		short: "Tell why a pod waits for a node, or what vertical scaling does with it", example: "orders-7d9f4-x2x8k -n shop",
		ask: explainPod,
	},
	{
		names: []string{"node", "no", "nodes"},
		short: "Tell whether a node may be removed, or what holds it", example: "general-3",
		ask: explainNode,
	},
	{
		names: []string{"nodepool", "qnp", "nodepools"},
		short: "Tell how large a pool of nodes is to be, and why", example: "general",
		ask: explainNodePool,
	},
	{
		names: []string{"metric", "metricsource", "metricsources", "qms", "clustermetricsource", "clustermetricsources", "qcms"},
		short: "Tell the last sample of a metric, or of a MetricSource, and how it came about", example: "orders-depth -n shop",
		ask: explainMetric,
	},
}

// The formats of an answer.
const (
	outputText = "text"
	outputJSON = "json"
	outputYAML = "yaml"
)

func newExplain() *cobra.Command {
	explain := &cobra.Command{
		Use:   "explain",
		Short: "Tell what was decided on an object, and why",
		Long:  "explain asks the component that decides, with your own permissions, for its last decision on an object.",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, s := range subjects {
		explain.AddCommand(newExplainSubject(s))
	}
	return explain
}

func newExplainSubject(s subject) *cobra.Command {
	output := outputText
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	overrides := &clientcmd.ConfigOverrides{}
	command := &cobra.Command{
		Use:     s.names[0] + " NAME",
		Aliases: s.names[1:],
		Short:   s.short,
		Example: "  kubectl quartet explain " + s.names[0] + " " + s.example + "\n  kubectl quartet explain " + s.names[0] + " " + s.example + " -o json",
		Args:    oneArg("name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch output {
			case outputText, outputJSON, outputYAML:
			default:
				return usageError{fmt.Errorf("--output: %q is not one of text, json, yaml", output)}
			}
			asker, err := newAsker(clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides))
			if err != nil {
				return err
			}
			told, err := s.ask(cmd.Context(), asker, args[0])
			if err != nil {
				return err
			}
			return printAnswer(cmd, output, told)
		},
	}
	command.Flags().StringVarP(&output, "output", "o", output, "Format of the answer: text, json or yaml.")
	command.Flags().StringVar(&rules.ExplicitPath, "kubeconfig", "", "Path of the kubeconfig to use, instead of $KUBECONFIG or the one in the home folder.")
	names := clientcmd.RecommendedConfigOverrideFlags("")
	clientcmd.BindOverrideFlags(overrides, command.Flags(), names)
	return command
}

func printAnswer(cmd *cobra.Command, output string, told answer) error {
	if output == outputText {
		_, err := cmd.OutOrStdout().Write([]byte(told.text(time.Now())))
		return err
	}
	content, err := json.MarshalIndent(told.value(), "", "  ")
	if err == nil && output == outputYAML {
		content, err = yaml.JSONToYAML(content)
	} else {
		content = append(content, '\n')
	}
	if err != nil {
		return fmt.Errorf("print the answer as %s: %w", output, err)
	}
	_, err = cmd.OutOrStdout().Write(content)
	return err
}

// errNoConnection is what is wrong where no cluster is configured.
var errNoConnection = errors.New("no cluster is configured: give --kubeconfig, or set KUBECONFIG")
