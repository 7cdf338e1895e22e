package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

const (
	// longestQuery is the length past which a query is refused, in bytes.
	longestQuery = 32 << 10
	open, shut   = "<<", ">>"
)

// functions of templates that cannot make long texts of short ones.
var functions = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index"}

// arguments are what a template of a query can use.
type arguments struct {
	// Series is the series' name.
	Series string
	// LabelMatchers bind the labels that name objects, as in a selector.
	LabelMatchers string
	// LabelValuesByName are regular expressions for those labels' values.
	LabelValuesByName map[string]string
	// GroupBy are the labels that the result must keep, with commas between them.
	GroupBy      string
	GroupBySlice []string
}

// queryTemplate is the template of a query.
type queryTemplate struct{ template *template.Template }

func compileQuery(text string) (*queryTemplate, error) {
	t, err := read(text)
	if err != nil {
		return nil, err
	}
	q := &queryTemplate{template: t}
	// A field that does not exist shows only when the template runs.
	_, err = q.render(arguments{
		Series: "series", LabelMatchers: `label!=""`, LabelValuesByName: map[string]string{"label": ".+"},
		GroupBy: "label", GroupBySlice: []string{"label"},
	})
	return q, err
}

func (q *queryTemplate) render(a arguments) (string, error) {
	return render(q.template, a)
}

// read reads a template and refuses what could run for long: templates are
// written by people of a cluster and run in everyone's adapter.
func read(text string) (*template.Template, error) {
	t, err := template.New("template").Delims(open, shut).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	if t.Tree == nil || len(t.Templates()) != 1 {
		return nil, errors.New("the template must not define others, and must not be empty")
	}
	c := checker{tree: t.Tree}
	c.list(t.Root, false)
	return t, c.err
}

// checker walks a template until the first thing that is not allowed.
type checker struct {
	tree *parse.Tree
	err  error
}

func (c *checker) refuse(n parse.Node, what string) {
	if c.err == nil {
		place, _ := c.tree.ErrorContext(n)
		c.err = fmt.Errorf("%s: %s is not allowed in a template", place, what)
	}
}

func (c *checker) list(l *parse.ListNode, within bool) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		c.node(n, within)
	}
}

// node checks one node; within tells that a range is around it.
func (c *checker) node(n parse.Node, within bool) {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
	case *parse.ActionNode:
		c.pipe(n.Pipe)
	case *parse.IfNode:
		c.branch(&n.BranchNode, within)
	case *parse.WithNode:
		c.branch(&n.BranchNode, within)
	case *parse.RangeNode:
		if within {
			c.refuse(n, "a range within a range")
		}
		if !overField(n.Pipe) {
			c.refuse(n, "a range over anything but a field")
		}
		c.branch(&n.BranchNode, true)
	default:
		c.refuse(n, strings.TrimSpace(shorten(n.String())))
	}
}

func (c *checker) branch(b *parse.BranchNode, within bool) {
	c.pipe(b.Pipe)
	c.list(b.List, within)
	c.list(b.ElseList, within)
}

// overField tells whether a pipeline is one field: a range over a number could be
// a range of any length.
func overField(p *parse.PipeNode) bool {
	if len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	_, ok := p.Cmds[0].Args[0].(*parse.FieldNode)
	return ok
}

func (c *checker) pipe(p *parse.PipeNode) {
	for _, command := range p.Cmds {
		for _, argument := range command.Args {
			c.argument(argument)
		}
	}
}

func (c *checker) argument(n parse.Node) {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		if !slices.Contains(functions, n.Ident) {
			c.refuse(n, "the function "+n.Ident)
		}
	case *parse.PipeNode:
		c.pipe(n)
	case *parse.ChainNode:
		c.argument(n.Node)
	}
}

// render runs a template and refuses a long result.
func render(t *template.Template, data any) (string, error) {
	var out bounded
	if err := t.Execute(&out, data); err != nil {
		return "", fmt.Errorf("running the template: %w", err)
	}
	return out.String(), nil
}

// bounded takes a text up to a length.
type bounded struct{ strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > longestQuery {
		return 0, fmt.Errorf("the text grows longer than %d bytes", longestQuery)
	}
	return b.Builder.Write(p)
}
