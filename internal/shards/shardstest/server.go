// Package shardstest is a StateShard API in memory, for tests of what keeps
// states: it refuses what the API server refuses, an older version of an object
// or an older pass among it. It is no API server: nothing else is checked.
package shardstest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Server keeps objects. The zero value is empty and ready.
type Server struct {
	mu      sync.Mutex
	objects map[string]v1alpha1.StateShard
	version int
	writes  int
	// Before, if not nil, is called before each request with its verb: List, Write
	// or Delete. An error is the request's answer.
	Before func(ctx context.Context, verb, name string) error
	// After is called after each write that was done; with an error its answer is
	// lost.
	After func(name string) error
}

var resource = v1alpha1.Resource("stateshards")

func (s *Server) before(ctx context.Context, verb, name string) error {
	if s.Before == nil {
		return nil
	}
	return s.Before(ctx, verb, name)
}

// List gives all objects.
func (s *Server) List(ctx context.Context) ([]v1alpha1.StateShard, error) {
	if err := s.before(ctx, "List", ""); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []v1alpha1.StateShard
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		o := s.objects[name]
		out = append(out, *o.DeepCopy())
	}
	return out, nil
}

// Write creates or updates an object.
func (s *Server) Write(ctx context.Context, o *v1alpha1.StateShard) (string, error) {
	if err := s.before(ctx, "Write", o.Name); err != nil {
		return "", err
	}
	version, err := s.write(o)
	if err == nil && s.After != nil {
		err = s.After(o.Name)
	}
	return version, err
}

func (s *Server) write(o *v1alpha1.StateShard) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, exists := s.objects[o.Name]
	switch {
	case o.ResourceVersion == "" && exists:
		return "", apierrors.NewAlreadyExists(resource, o.Name)
	case o.ResourceVersion != "" && !exists:
		return "", apierrors.NewNotFound(resource, o.Name)
	case exists && o.ResourceVersion != have.ResourceVersion:
		return "", apierrors.NewConflict(resource, o.Name, errors.New("it has been modified"))
	case exists && o.Spec.Pass < have.Spec.Pass:
		return "", apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("StateShard").GroupKind(), o.Name, nil)
	}
	s.put(*o.DeepCopy())
	s.writes++
	return s.objects[o.Name].ResourceVersion, nil
}

func (s *Server) put(o v1alpha1.StateShard) {
	if s.objects == nil {
		s.objects = map[string]v1alpha1.StateShard{}
	}
	s.version++
	o.ResourceVersion = strconv.Itoa(s.version)
	s.objects[o.Name] = o
}

// Put writes an object as a person would, whatever it was.
func (s *Server) Put(o v1alpha1.StateShard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(*o.DeepCopy())
}

// Delete removes that version of an object.
func (s *Server) Delete(ctx context.Context, name, version string) error {
	if err := s.before(ctx, "Delete", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, exists := s.objects[name]
	if exists && have.ResourceVersion != version {
		return apierrors.NewConflict(resource, name, errors.New("it has been modified"))
	}
	delete(s.objects, name)
	return nil
}

// Remove deletes an object as a person would.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
}

// Names are those of all objects, sorted.
func (s *Server) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Writes is how many writes were done.
func (s *Server) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}
