package v1alpha1

// FormulaSource computes a number from metrics of other MetricSources of the
// namespace. Value: Value.
type FormulaSource struct {
	// expression in CEL over the inputs' names, such as
	// "math.greatest(orders, returns * 2.0)". Every input is a double, so numbers
	// beside one are written with a point. It gives a number; macros are not known.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
	// inputs of the expression. Without a fresh value of each there is none of the
	// formula; its time is that of the oldest.
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
	// metric is the name of a metric that another MetricSource of the namespace
	// serves.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Metric string `json:"metric"`
}
