package server

import (
	"fmt"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/quartet-autoscaling/quartet/adapter/server/inventory"
)

// newInventory makes the inventory of the cluster's objects. It asks the cluster
// nothing until there is a metric of objects to read.
func newInventory(connection *rest.Config) (*inventory.Inventory, error) {
	transport, err := rest.HTTPClientFor(connection)
	if err != nil {
		return nil, fmt.Errorf("set up the client of discovery: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(connection, transport)
	if err != nil {
		return nil, fmt.Errorf("set up discovery of kinds: %w", err)
	}
	objects, err := metadata.NewForConfigAndClient(connection, transport)
	if err != nil {
		return nil, fmt.Errorf("set up the client of metadata: %w", err)
	}
	return inventory.New(inventory.Config{Mapper: mapper, Client: objects, Clock: clock.RealClock{}})
}
