package controller

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// secretTimeout bounds one read of a Secret.
const secretTimeout = 5 * time.Second

// secretCache reads Secrets one by one, as they are named, and remembers them
// for a short time. So the adapter needs permission to get Secrets only, and
// holds those that some object names and no other.
type secretCache struct {
	reader client.Reader
	clock  clock.PassiveClock
	ttl    time.Duration

	mu   sync.Mutex
	read map[types.NamespacedName]secretRead
	// away is why the API server did not answer the last read, nil where it did; it is
	// then asked by one at a time, and not before retry. Turns wait for Secrets, and
	// there are few workers for all objects.
	away   error
	retry  time.Time
	asking bool
}

type secretRead struct {
	at   time.Time
	data map[string][]byte
}

func newSecretCache(reader client.Reader, c clock.PassiveClock, ttl time.Duration) *secretCache {
	return &secretCache{reader: reader, clock: c, ttl: ttl, read: map[types.NamespacedName]secretRead{}}
}

// in gives the Secrets of one namespace.
func (s *secretCache) in(namespace string) source.Secrets { return secretsOf{s, namespace} }

// drop forgets what was read of a namespace.
func (s *secretCache) drop(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.read {
		if name.Namespace == namespace {
			delete(s.read, name)
		}
	}
}

// noted tells whether anything was read.
type noted struct {
	source.Secrets
	read bool
}

func (n *noted) Key(ctx context.Context, ref v1alpha1.SecretKey) ([]byte, error) {
	n.read = true
	return n.Secrets.Key(ctx, ref)
}

type secretsOf struct {
	cache     *secretCache
	namespace string
}

// Key gives one key's value. Errors name Secret and key and show no value.
func (s secretsOf) Key(ctx context.Context, ref v1alpha1.SecretKey) ([]byte, error) {
	data, err := s.cache.get(ctx, types.NamespacedName{Namespace: s.namespace, Name: ref.Name})
	if err != nil {
		return nil, err
	}
	value, ok := data[ref.Key]
	if !ok || len(value) == 0 {
		return nil, source.Errorf("SecretKeyNotFound", "Secret %s has no key %s, or it is empty", ref.Name, ref.Key)
	}
	return value, nil
}

func (s *secretCache) get(ctx context.Context, name types.NamespacedName) (map[string][]byte, error) {
	now := s.clock.Now()
	s.mu.Lock()
	known, ok := s.read[name]
	s.mu.Unlock()
	// Half the time to live, so that an object that is built anew at the end of
	// it does not meet what it read before.
	if ok && now.Sub(known.at) < s.ttl/2 {
		return known.data, nil
	}
	if name.Namespace == "" {
		return nil, source.Errorf("SecretNotReadable", "Secret %s cannot be read: a ClusterMetricSource's Secrets are in the namespace of metrics-adapter, which does not know its own", name.Name)
	}
	if away := s.ask(now); away != nil {
		return nil, source.Errorf("SecretNotReadable", "Secret %s cannot be read: the API server did not answer before: %v", name.Name, away)
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	var secret corev1.Secret
	err := s.reader.Get(ctx, name, &secret)
	s.asked(err)
	switch {
	case apierrors.IsNotFound(err):
		return nil, source.Errorf("SecretNotFound", "Secret %s does not exist", name.Name)
	case apierrors.IsForbidden(err):
		return nil, source.Errorf("SecretForbidden",
			"metrics-adapter is not allowed to read Secret %s: give its service account the verb get on secrets in namespace %s (in the chart's values: metricsAdapter.secretNamespaces)",
			name.Name, name.Namespace)
	case err != nil:
		return nil, source.Errorf("SecretNotReadable", "Secret %s cannot be read: %v", name.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, read := range s.read {
		if now.Sub(read.at) > s.ttl {
			delete(s.read, other)
		}
	}
	s.read[name] = secretRead{at: now, data: secret.Data}
	return secret.Data, nil
}

// ask gives nil to who may ask the API server, and otherwise why that is left alone.
func (s *secretCache) ask(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil && (s.asking || now.Before(s.retry)) {
		return s.away
	}
	s.asking = true
	return nil
}

// asked notes whether the API server answered; that there is no such Secret, or
// that it is not ours to read, is an answer.
func (s *secretCache) asked(err error) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = false
	if s.away = err; err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		s.away = nil
	}
	s.retry = now.Add(secretsRetry)
}
