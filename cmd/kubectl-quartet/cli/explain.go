package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// subject is a kind of object that explain can be asked about.
type subject struct {
	// Names are what the user types, the first in help.
	names []string
	// kind is how messages call the object.
	kind string
	// path is the API path of the group and version that hold the objects, and
	// resource their resource.
	path, resource string
	// component names the group of decisions, and server the binary behind it.
	component, server string
}

var subjectHPA = subject{
	names:     []string{"hpa", "horizontalpodautoscaler", "horizontalpodautoscalers"},
	kind:      "HorizontalPodAutoscaler",
	path:      "/apis/autoscaling/v2",
	resource:  "horizontalpodautoscalers",
	component: "hpa",
	server:    "hpa-controller",
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
	explain.AddCommand(newExplainSubject(subjectHPA))
	return explain
}

func newExplainSubject(s subject) *cobra.Command {
	output := outputText
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	overrides := &clientcmd.ConfigOverrides{}
	command := &cobra.Command{
		Use:     s.names[0] + " NAME",
		Aliases: s.names[1:],
		Short:   "Tell what was last decided on a " + s.kind + ", and why",
		Example: "  kubectl quartet explain " + s.names[0] + " orders -n shop\n  kubectl quartet explain " + s.names[0] + " orders -n shop -o json",
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
			d, err := asker.decision(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			return printDecision(cmd, output, d)
		},
	}
	command.Flags().StringVarP(&output, "output", "o", output, "Format of the answer: text, json or yaml.")
	command.Flags().StringVar(&rules.ExplicitPath, "kubeconfig", "", "Path of the kubeconfig to use, instead of $KUBECONFIG or the one in the home folder.")
	names := clientcmd.RecommendedConfigOverrideFlags("")
	clientcmd.BindOverrideFlags(overrides, command.Flags(), names)
	return command
}

func printDecision(cmd *cobra.Command, output string, d *v1alpha1.Decision) error {
	if output == outputText {
		_, err := cmd.OutOrStdout().Write([]byte(narrate(d, time.Since(d.At.Time))))
		return err
	}
	content, err := json.MarshalIndent(d, "", "  ")
	if err == nil && output == outputYAML {
		content, err = yaml.JSONToYAML(content)
	} else {
		content = append(content, '\n')
	}
	if err != nil {
		return fmt.Errorf("print the decision as %s: %w", output, err)
	}
	_, err = cmd.OutOrStdout().Write(content)
	return err
}

// errNoConnection is what is wrong where no cluster is configured.
var errNoConnection = errors.New("no cluster is configured: give --kubeconfig, or set KUBECONFIG")
