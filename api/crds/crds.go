// Package crds holds the CRDs of the sources of metrics, for programs that check
// an object before a cluster does. They are the chart's own, made by the same
// command.
package crds

import "embed"

// Files are the CRDs, one YAML file each.
//
//go:embed *.yaml
var Files embed.FS
