// Command flagdocs writes the flag reference: one page for each binary, from
// the very flags that the binary parses. It is run by hack/generate.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adapter "github.com/quartet-autoscaling/quartet/adapter/server"
	admission "github.com/quartet-autoscaling/quartet/admission/webhook"
	scaler "github.com/quartet-autoscaling/quartet/cluster-scaler/controller"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/cli"
	hpa "github.com/quartet-autoscaling/quartet/hpa/controller"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	recommender "github.com/quartet-autoscaling/quartet/recommender/controller"
	updater "github.com/quartet-autoscaling/quartet/updater/controller"
)

// services are the long-running binaries.
var services = []func() *runtimeflags.Command{
	adapter.NewCommand, hpa.NewCommand, recommender.NewCommand, updater.NewCommand, admission.NewCommand, scaler.NewCommand,
}

func main() {
	dir := flag.String("dir", "docs/flags", "folder to write the pages to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "flagdocs:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	pages := map[string]string{}
	for _, newCommand := range services {
		command := newCommand()
		pages[command.Name] = servicePage(command)
	}
	tool := cli.NewCommand(cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	pages[tool.Name()] = toolPage(tool)
	for name, page := range pages {
		file := filepath.Join(dir, name+".md")
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			return fmt.Errorf("write the page of %s: %w", name, err)
		}
	}
	return nil
}

const origin = "<!-- Made by `make generate` from the binary's own flags. Do not edit. -->\n\n"

// servicePage is the page of a long-running binary.
func servicePage(command *runtimeflags.Command) string {
	var page strings.Builder
	fmt.Fprintf(&page, "%s# %s\n\n%s %s.\n\n", origin, command.Name, command.Name, command.Short)
	page.WriteString("It ends with exit code 2 where a flag cannot be used, naming the flag, and with 1 where it fails.\n\n")
	table(&page, command.FlagSet())
	return page.String()
}

// toolPage is the page of a tool with commands.
func toolPage(root *cobra.Command) string {
	var page strings.Builder
	fmt.Fprintf(&page, "%s# %s\n\n%s\n", origin, root.Name(), root.Long)
	commands(&page, root)
	return page.String()
}

// commands writes a section for each command that does something, depth first.
func commands(page *strings.Builder, parent *cobra.Command) {
	for _, command := range parent.Commands() {
		if command.Hidden || !command.IsAvailableCommand() {
			continue
		}
		if command.HasAvailableSubCommands() {
			commands(page, command)
			continue
		}
		fmt.Fprintf(page, "\n## %s\n\n%s.\n\n    %s\n", command.CommandPath(), strings.TrimSuffix(command.Short, "."), command.UseLine())
		if command.Long != "" {
			fmt.Fprintf(page, "\n%s\n", command.Long)
		}
		// The flag that cobra adds when it runs belongs to no page.
		flags := pflag.NewFlagSet(command.Name(), pflag.ContinueOnError)
		command.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				flags.AddFlag(f)
			}
		})
		command.InheritedFlags().VisitAll(flags.AddFlag)
		if flags.HasFlags() {
			page.WriteString("\n")
			table(page, flags)
		}
	}
}

// table lists flags by name.
func table(page *strings.Builder, flags *pflag.FlagSet) {
	page.WriteString("| flag | default | what it does |\n|---|---|---|\n")
	flags.SortFlags = true
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		// A value's name stands in backquotes in the usage.
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" {
			name += " " + value
		}
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		def := ""
		if f.DefValue != "" {
			def = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", name, def, cell(usage))
	})
}

// cell makes a text fit a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
