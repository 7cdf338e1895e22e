package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"

	adaptersource "github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/draft"
)

// secrets are the keys of Secrets that a trial may use: those given on the
// command line, and then the cluster's, of one namespace, as the user may read
// them.
type secrets struct {
	given     map[v1alpha1.SecretKey][]byte
	cluster   clientcmd.ClientConfig
	namespace string

	mu sync.Mutex
	// shown is all that was read, to be taken out of what is printed.
	shown []access.Secret
}

// Key gives one key's value. Its error names the Secret and the key.
func (s *secrets) Key(ctx context.Context, ref v1alpha1.SecretKey) ([]byte, error) {
	value, ok := s.given[ref]
	if !ok {
		var err error
		if value, err = s.ask(ctx, ref); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range []string{string(value), strings.TrimSpace(string(value))} {
		s.shown = append(s.shown, access.NewSecret(text))
	}
	return value, nil
}

// redact takes out of a text all that was read.
func (s *secrets) redact(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return access.Scrub(text, s.shown...)
}

// ask reads a Secret of the cluster.
func (s *secrets) ask(ctx context.Context, ref v1alpha1.SecretKey) ([]byte, error) {
	asker, err := newAsker(s.cluster)
	if err != nil {
		return nil, adaptersource.Errorf("SecretNotReadable", "Secret %s cannot be read from the cluster (%v): give --secret %s/%s=@FILE, or --secret-file", ref.Name, err, ref.Name, ref.Key)
	}
	raw, err := asker.get(ctx, "/api/v1", "namespaces", s.namespace, "secrets", ref.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, adaptersource.Errorf("SecretNotFound", "Secret %s does not exist in namespace %s", ref.Name, s.namespace)
	case err != nil:
		return nil, adaptersource.Errorf("SecretNotReadable", "Secret %s of namespace %s cannot be read: %v", ref.Name, s.namespace, err)
	}
	var secret corev1.Secret
	if err := json.Unmarshal(raw, &secret); err != nil {
		// The decoder's own words might hold what it read.
		return nil, adaptersource.Errorf("SecretNotReadable", "Secret %s of namespace %s cannot be read: the answer is no Secret", ref.Name, s.namespace)
	}
	return keyOf(secret.Data, ref)
}

func keyOf(data map[string][]byte, ref v1alpha1.SecretKey) ([]byte, error) {
	if value := data[ref.Key]; len(value) > 0 {
		return value, nil
	}
	return nil, adaptersource.Errorf("SecretKeyNotFound", "Secret %s has no key %s, or it is empty", ref.Name, ref.Key)
}

// givenSecrets reads --secret NAME/KEY=VALUE, where @FILE is a file's content,
// and files of Secrets.
func givenSecrets(keys, files []string) (map[v1alpha1.SecretKey][]byte, error) {
	given := map[v1alpha1.SecretKey][]byte{}
	for _, file := range files {
		if err := secretsOfFile(file, given); err != nil {
			return nil, err
		}
	}
	for _, text := range keys {
		path, value, ok := strings.Cut(text, "=")
		name, key, slash := strings.Cut(path, "/")
		if !ok || !slash || name == "" || key == "" {
			// What was given may be a credential, and is not repeated.
			return nil, usageError{errors.New("--secret: one is not of the form NAME/KEY=VALUE or NAME/KEY=@FILE")}
		}
		content := []byte(value)
		if file, isFile := strings.CutPrefix(value, "@"); isFile {
			var err error
			if content, err = os.ReadFile(filepath.Clean(file)); err != nil {
				return nil, fmt.Errorf("--secret %s: %w", path, err)
			}
		}
		given[v1alpha1.SecretKey{Name: name, Key: key}] = content
	}
	return given, nil
}

func secretsOfFile(file string, given map[v1alpha1.SecretKey][]byte) error {
	raw, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return fmt.Errorf("--secret-file: %w", err)
	}
	objects, err := draft.Read(raw)
	if err != nil {
		return fmt.Errorf("--secret-file %s: it is no YAML of Secrets", file)
	}
	for _, o := range objects {
		if o.GetKind() != "Secret" {
			continue
		}
		var secret corev1.Secret
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &secret); err != nil {
			return fmt.Errorf("--secret-file %s: Secret %s cannot be read", file, o.GetName())
		}
		for key, value := range secret.Data {
			given[v1alpha1.SecretKey{Name: secret.Name, Key: key}] = value
		}
		for key, value := range secret.StringData {
			given[v1alpha1.SecretKey{Name: secret.Name, Key: key}] = []byte(value)
		}
	}
	return nil
}
