package v1alpha1

// FormulaSource computes a number from metrics of other sources of the
// namespace. Value: Value.
type FormulaSource struct {
	// expression in CEL over the inputs' names, such as
	// "max(orders, returns * 2.0)".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
	// inputs of the expression.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Inputs []FormulaInput `json:"inputs"`
}

// FormulaInput is one metric under a name of its own.
type FormulaInput struct {
	// name in the expression.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z_][A-Za-z0-9_]*$`
	Name string `json:"name"`
	// metric is the name of a metric that a MetricSource of the namespace serves.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Metric string `json:"metric"`
}
