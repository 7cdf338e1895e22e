package architecture

import (
	"slices"
	"strings"
)

// module is the path that all our packages begin with.
const module = "github.com/quartet-autoscaling/quartet"

// components are the rooms that never import one another. What two of them need
// is in internal, under a name of its own.
var components = []string{"adapter", "admission", "cluster-scaler", "hpa", "recommender", "updater"}

// pure are the packages of decisions and models: no I/O, no clock, no chance.
// They need not exist yet.
var pure = []string{
	"adapter/query", "adapter/source/prometheus/rules",
	"admission/patch", "admission/podreview", "admission/runtimes",
	"cluster-scaler/expander", "cluster-scaler/nodepool", "cluster-scaler/plan", "cluster-scaler/scaledown", "cluster-scaler/scaleup",
	"cluster-scaler/scheduling", "cluster-scaler/world",
	"hpa/behavior", "hpa/replicas",
	"internal/decision", "internal/resourcepolicy", "internal/timeseries", "internal/vertical/features", "internal/verticalpolicy",
	"internal/workload",
	"recommender/estimator", "recommender/histogram",
	"updater/eviction", "updater/fit", "updater/resize",
}

// purestImports are what pure code imports besides the standard library and
// other pure packages.
var purestImports = []string{
	"k8s.io/api", "k8s.io/apimachinery", "k8s.io/utils/ptr",
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis",
	module + "/api",
	// The form of a component's rules, which live run and replay share.
	module + "/internal/loop",
}

// impureStandard are the packages of the standard library that touch the world,
// the clock of a context, or a log.
var impureStandard = []string{
	"context", "crypto/rand", "database/sql", "log", "net", "os", "plugin", "runtime/debug", "syscall", "testing", "unsafe",
}

// schedulerImports are what cluster-scaler/scheduling alone may import besides:
// the scheduler's own plugins, and what their functions take and want at their
// making.
var schedulerImports = []string{
	"k8s.io/kubernetes/pkg/scheduler", "k8s.io/kube-scheduler", "k8s.io/component-helpers/scheduling",
	"k8s.io/client-go/informers", "k8s.io/client-go/kubernetes", "k8s.io/klog/v2", "context",
}

// leaner are packages of several loops that are not pure and still keep off.
var leaner = map[string][]string{
	"internal/loop":   {"k8s.io/client-go", "k8s.io/klog", "github.com/prometheus", "os", "net"},
	"internal/ledger": {"k8s.io/client-go", "k8s.io/klog", "github.com/prometheus", "net"},
}

// isUnder tells whether a package's path is prefix or below it.
func isUnder(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func underAny(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return isUnder(path, prefix) })
}

// own gives the path of one of our packages below the module, "" for the root.
func own(path string) (string, bool) {
	rel, ok := strings.CutPrefix(path, module)
	return strings.TrimPrefix(rel, "/"), ok
}

// room is the first element of a package's path.
func room(rel string) string {
	first, _, _ := strings.Cut(rel, "/")
	return first
}

// isPure tells whether a package, by its path below the module, is on the list.
func isPure(rel string) bool { return underAny(rel, pure) }

// forbidden says why package from may not import package to, or "". from is a
// path below the module, to a whole import path.
func forbidden(from, to string) string {
	if reason := forbiddenToPure(from, to); reason != "" {
		return reason
	}
	for rel, banned := range leaner {
		if from == rel && underAny(to, banned) {
			return rel + " keeps off " + to
		}
	}
	rel, ours := own(to)
	if !ours {
		return ""
	}
	return forbiddenArrow(from, rel)
}

// forbiddenToPure is the rule for what pure packages import.
func forbiddenToPure(from, to string) string {
	if !isPure(from) {
		return ""
	}
	if rel, ours := own(to); ours {
		if isPure(rel) || underAny(to, purestImports) {
			return ""
		}
		return "pure code imports pure code only"
	}
	if isUnder(from, "cluster-scaler/scheduling") && underAny(to, schedulerImports) {
		return ""
	}
	if strings.Contains(room(to), ".") { // not of the standard library
		if underAny(to, purestImports) {
			return ""
		}
		return "pure code imports the standard library, k8s.io/api and apimachinery only"
	}
	if underAny(to, impureStandard) {
		return "pure code does no I/O, takes no context and writes no log"
	}
	return ""
}

// forbiddenArrow is the rule for the arrows between our own packages. Both paths
// are below the module.
func forbiddenArrow(from, to string) string {
	fromRoom, toRoom := room(from), room(to)
	switch {
	case isUnder(from, "internal/simulation"):
		if isPure(to) || isUnder(to, "internal/loop") || isUnder(to, "internal/ledger") || isUnder(to, "internal/simulation") {
			return ""
		}
		return "simulation imports pure packages, loop and ledger only"
	case toRoom == "cmd" && fromRoom == "cmd":
		// A command's parts are its own.
		if strings.Split(from, "/")[1] != strings.Split(to, "/")[1] {
			return "commands do not import one another"
		}
	case toRoom == "cmd" && from != "hack/flagdocs":
		return "nothing imports a command"
	case slices.Contains([]string{"test", "bench", "hack", "deploy", "docs"}, fromRoom):
		return "" // what tests and builds the product may import all of it
	case slices.Contains([]string{"test", "bench", "hack", "deploy", "docs"}, toRoom):
		return "the product does not import what tests or builds it"
	case fromRoom == "api":
		if toRoom != "api" {
			return "the API types import nothing of ours"
		}
	case fromRoom == "internal":
		if toRoom != "internal" && toRoom != "api" {
			return "internal is below the components and imports none of them"
		}
	case slices.Contains(components, fromRoom):
		if slices.Contains(components, toRoom) && fromRoom != toRoom {
			return "components never import one another: what both need goes to internal under a name of its own"
		}
	}
	return ""
}
