package formula

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// ReasonFormula says that the expression failed over the values of its inputs.
const ReasonFormula = "FormulaFailed"

const (
	// costLimit ends an expression that takes too much, in CEL's own unit: about one
	// for each operation.
	costLimit = 100_000
	// errorsShown is how many faults of an expression are told at once.
	errorsShown = 3
)

// program is a compiled expression. It is safe for use by several goroutines.
type program struct{ compiled cel.Program }

// compile checks an expression over inputs that are doubles. There are no macros
// but those of the math extension, hence no loops: what an expression costs is
// bounded by its length.
func compile(expression string, inputs []string) (*program, error) {
	options := []cel.EnvOption{cel.ClearMacros(), ext.Math(), cel.CrossTypeNumericComparisons(true)}
	for _, name := range inputs {
		options = append(options, cel.Variable(name, cel.DoubleType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "the names of the formula's inputs cannot be used together: each name once, and none of CEL's own")
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.formula.expression: %s", issueText(issues))
	}
	// Functions over numbers of several types have a type that only a value shows.
	switch ast.OutputType().Kind() {
	case types.DoubleKind, types.IntKind, types.UintKind, types.DynKind:
	default:
		return nil, source.Errorf(source.ReasonInvalid,
			"spec.source.formula.expression gives a %s, not a number: of a condition make one by \"condition ? 1.0 : 0.0\"", ast.OutputType())
	}
	compiled, err := env.Program(ast, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.formula.expression cannot be computed: %v", err)
	}
	return &program{compiled}, nil
}

// issueText gives the first faults with their places.
func issueText(issues *cel.Issues) string {
	var told []string
	for _, e := range issues.Errors() {
		if len(told) == errorsShown {
			break
		}
		text := e.Message
		if strings.Contains(text, "found no matching overload") {
			text += " (inputs are doubles: write 2.0, not 2)"
		}
		told = append(told, fmt.Sprintf("line %d, character %d: %s", e.Location.Line(), e.Location.Column()+1, text))
	}
	return strings.Join(told, "; ")
}

// run computes the expression. A result that is not finite is NotANumber.
func (p *program) run(ctx context.Context, inputs map[string]any) (query.Gauge, error) {
	result, _, err := p.compiled.ContextEval(ctx, inputs)
	if err != nil {
		return query.Gauge{}, source.Errorf(ReasonFormula, "the expression has no value: %v", err)
	}
	switch v := result.Value().(type) {
	case float64:
		return query.NumberOf(v), nil
	case int64:
		return query.NumberOf(float64(v)), nil
	case uint64:
		return query.NumberOf(float64(v)), nil
	}
	return query.Gauge{}, source.Errorf(ReasonFormula, "the expression gives a %s, not a number", result.Type().TypeName())
}
