// Package provider is what the scaler wants of whatever makes nodes: to be asked
// by name, so that asking again is no second node, and to say what it works on.
// Each kind of provider is a package below this one. What to ask for is not a
// provider's business.
package provider

import (
	"context"
	"time"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// Order is one node to be made.
type Order struct {
	Pool string
	// Node is the node as the pool's template has it; its labels, taints and
	// allocatable are those the plan was made with.
	Node nodepool.Node
	// Request has the node's name and when it was asked for.
	Request nodepool.Request
	// Template is the pool's; its startup taints are on the node besides.
	Template nodepool.Template
	// BootTime is how long a node takes, for providers that play it.
	BootTime time.Duration
}

// Provider makes and deletes the nodes of pools.
type Provider interface {
	// Create asks for a node and returns once that is accepted; the node comes
	// later. Asking again for the same name changes nothing.
	Create(ctx context.Context, o Order) error
	// Delete removes a node by name and UID. A node that is gone is no error.
	Delete(ctx context.Context, name, uid string) error
	// Accepted names the nodes of a pool that were asked for and did not come yet,
	// as far as this process asked, in order.
	Accepted(pool string) []string
}
