package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Resource is a kind of objects of a cluster.
type Resource struct {
	// Group is empty for the core's; Plural is the resource's name.
	Group, Plural string
	Namespaced    bool
}

// Mapper knows the kinds of objects of a cluster.
type Mapper interface {
	// Resource finds a kind by a name in the plural or in the singular. An empty
	// group is the core's, or where that has no such kind, any. It is false where
	// the cluster has no such kind.
	Resource(group, name string) (Resource, bool, error)
}

// labelling says which label names which kind of objects.
type labelling struct {
	overrides map[string]v1alpha1.PrometheusResource
	// namespace is the label that holds the namespace, empty where none does.
	namespace string
	// pattern reads group and resource out of a label's name; nil without template.
	pattern *regexp.Regexp
}

// The marks that stand for a group and a resource while a template is turned
// around. No label has such characters.
const (
	groupMark    = "\x00g\x00"
	resourceMark = "\x00r\x00"
)

func compileLabelling(spec v1alpha1.PrometheusResources) (labelling, error) {
	l := labelling{overrides: maps.Clone(spec.Overrides)}
	if len(spec.Overrides) == 0 && spec.Template == "" {
		return l, fmt.Errorf("must have overrides, template or both")
	}
	for _, label := range slices.Sorted(maps.Keys(spec.Overrides)) {
		if !labelName.MatchString(label) {
			return l, fmt.Errorf("overrides: %q is no label", shorten(label))
		}
		if r := spec.Overrides[label]; isNamespaces(r.Group, r.Resource) && l.namespace == "" {
			l.namespace = label
		}
	}
	if spec.Template == "" {
		return l, nil
	}
	t, err := readLabel(spec.Template)
	if err != nil {
		return l, fmt.Errorf("template: %w", err)
	}
	if l.pattern, err = turn(t); err != nil {
		return l, fmt.Errorf("template: %w", err)
	}
	if l.namespace == "" {
		if l.namespace, err = render(t, kindName{Resource: "namespace"}); err != nil {
			return l, fmt.Errorf("template: %w", err)
		}
	}
	return l, nil
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func isNamespaces(group, name string) bool {
	return group == "" && (name == "namespace" || name == "namespaces")
}

// kindName is what a template of a label can use: a group whose dots are
// underscores, and a resource in the singular.
type kindName struct{ Group, Resource string }

// readLabel reads a label's template: text, the resource once, and the group once
// at most, so that it can be read the other way round.
func readLabel(text string) (*template.Template, error) {
	t, err := read(text)
	if err != nil {
		return nil, err
	}
	for _, n := range t.Root.Nodes {
		switch n.Type() {
		case parse.NodeText, parse.NodeComment:
		case parse.NodeAction:
			if s := n.String(); s != "{{.Group}}" && s != "{{.Resource}}" && s != open+".Group"+shut && s != open+".Resource"+shut {
				return nil, fmt.Errorf("%s is neither %s.Resource%s nor %s.Group%s", shorten(s), open, shut, open, shut)
			}
		default:
			return nil, fmt.Errorf("only text, %s.Resource%s and %s.Group%s are of use in a label", open, shut, open, shut)
		}
	}
	return t, nil
}

// turn makes an expression that reads a label's name the other way round.
func turn(t *template.Template) (*regexp.Regexp, error) {
	marked, err := render(t, kindName{Group: groupMark, Resource: resourceMark})
	if err != nil {
		return nil, err
	}
	if strings.Count(marked, resourceMark) != 1 || strings.Count(marked, groupMark) > 1 {
		return nil, fmt.Errorf("must have %s.Resource%s once, and %s.Group%s once at most", open, shut, open, shut)
	}
	text := regexp.QuoteMeta(marked)
	text = strings.Replace(text, regexp.QuoteMeta(resourceMark), `(?P<resource>[a-z][a-z0-9]*)`, 1)
	text = strings.Replace(text, regexp.QuoteMeta(groupMark), `(?P<group>[a-z0-9_]*?)`, 1)
	pattern, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		return nil, fmt.Errorf("turning the template around: %w", err)
	}
	return pattern, nil
}

// named is the kind that a label's name says, false where it says none.
func (l labelling) named(label string) (kindName, bool) {
	if l.pattern == nil {
		return kindName{}, false
	}
	found := l.pattern.FindStringSubmatch(label)
	if found == nil {
		return kindName{}, false
	}
	k := kindName{Resource: found[l.pattern.SubexpIndex("resource")]}
	if i := l.pattern.SubexpIndex("group"); i >= 0 {
		k.Group = strings.ReplaceAll(found[i], "_", ".")
	}
	return k, true
}
