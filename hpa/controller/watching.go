package controller

import (
	"fmt"

	"k8s.io/client-go/tools/cache"
)

// watchObjects calls back for all that happens to the objects of an informer until stop is
// called; before is nil for one that is there or appears, after for one that goes.
// what names the objects in errors.
func watchObjects[T any](informer cache.SharedIndexInformer, what string, call func(before, after *T)) (stop func(), err error) {
	tell := func(before, after any) {
		if gone, ok := before.(cache.DeletedFinalStateUnknown); ok {
			before = gone.Obj
		}
		was, _ := before.(*T)
		is, _ := after.(*T)
		if was != nil || is != nil {
			call(was, is)
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { tell(nil, o) },
		UpdateFunc: tell,
		DeleteFunc: func(o any) { tell(o, nil) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", what, err)
	}
	return func() { _ = informer.RemoveEventHandler(registration) }, nil
}
