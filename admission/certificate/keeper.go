package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// settle is how long a CA has to be in the webhook configurations before what it
// signed takes the place of what is served: API servers learn of it by watching.
const settle = 10 * time.Second

// Config is what a Keeper is made of.
type Config struct {
	Client kubernetes.Interface
	// Secret holds the certificate. It is made where it is missing and permissions allow; the chart renders it empty and allows only to fill it.
	Secret types.NamespacedName
	// DNSName is what the API server calls the webhook, SERVICE.NAMESPACE.svc.
	DNSName string
	// Configurations are the names of the webhook configurations to trust the CA,
	// one of each kind.
	Mutating, Validating string
	// Validity is the time a certificate is valid, CAValidity that of the CA.
	Validity, CAValidity time.Duration
	// Interval is the time from one look at the Secret and the configurations to
	// the next.
	Interval time.Duration
	Clock    clock.WithTicker
}

func (c Config) validate() error {
	switch {
	case c.Client == nil || c.Clock == nil:
		return errors.New("certificate: Client and Clock are required")
	case c.Secret.Name == "" || c.Secret.Namespace == "" || c.DNSName == "":
		return errors.New("certificate: Secret and DNSName are required")
	case c.Mutating == "" || c.Validating == "":
		return errors.New("certificate: the names of the webhook configurations are required")
	case c.Validity <= 0 || c.CAValidity <= c.Validity || c.Interval <= 0:
		return errors.New("certificate: Validity, CAValidity above it, and Interval are required")
	}
	return nil
}

// Keeper keeps one certificate.
type Keeper struct {
	cfg Config

	mu sync.RWMutex
	// serving is what is served, next what is to be once its CA is trusted.
	serving, next *pair
	// trusted is since when the configurations have had the CA of next.
	trusted time.Time
	// err is why the last look failed.
	err error
}

// New makes a Keeper, or says what its configuration lacks.
func New(cfg Config) (*Keeper, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Keeper{cfg: cfg, err: errors.New("not looked for yet")}, nil
}

// Run keeps the certificate until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	ticker := k.cfg.Clock.NewTicker(k.cfg.Interval)
	defer ticker.Stop()
	for {
		err := k.Sync(ctx)
		if err != nil && ctx.Err() == nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelWarn, "Could not keep the webhook's certificate", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// Sync looks once: it renews what is due, makes the API server trust it, and
// then serves it.
func (k *Keeper) Sync(ctx context.Context) error {
	err := k.sync(ctx, k.cfg.Clock.Now())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	return err
}

func (k *Keeper) sync(ctx context.Context, now time.Time) error {
	data, err := k.stored(ctx, now)
	if err != nil {
		return err
	}
	found, err := parsePair(data)
	if err != nil {
		return err
	}
	bundle := data[keyCA]
	k.mu.Lock()
	if k.serving != nil {
		// What is served now stays trusted, even where the Secret was emptied.
		bundle = join(now, bundle, k.serving.ca)
	}
	k.mu.Unlock()
	if err := k.trust(ctx, bundle, now); err != nil {
		// Nothing is served that the API server does not trust, but at the start
		// that is better than nothing: what trusts comes later.
		k.take(found, now, false)
		return err
	}
	k.take(found, now, true)
	return nil
}

// take serves a certificate at once where it is the first or its CA is that of
// the one before, and otherwise when its CA has been trusted for long enough.
func (k *Keeper) take(found *pair, now time.Time, trusted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.serving == nil || bytes.Equal(k.serving.ca, found.ca) {
		k.serving, k.next = found, nil
		return
	}
	if !trusted {
		return
	}
	if k.next == nil || !bytes.Equal(k.next.ca, found.ca) {
		k.trusted = now
	}
	k.next = found
	if now.Sub(k.trusted) >= settle {
		k.serving, k.next = found, nil
	}
}

// stored gives the Secret's data, after renewing what is due.
func (k *Keeper) stored(ctx context.Context, now time.Time) (map[string][]byte, error) {
	secrets := k.cfg.Client.CoreV1().Secrets(k.cfg.Secret.Namespace)
	secret, err := secrets.Get(ctx, k.cfg.Secret.Name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("read Secret %s: %w", k.cfg.Secret, err)
	}
	if missing {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.cfg.Secret.Namespace, Name: k.cfg.Secret.Name}}
	}
	data, changed, err := k.cfg.renewed(secret.Data, now)
	if err != nil || !changed {
		return data, err
	}
	updated := secret.DeepCopy()
	updated.Data = data
	if missing {
		_, err = secrets.Create(ctx, updated, metav1.CreateOptions{})
	} else {
		_, err = secrets.Update(ctx, updated, metav1.UpdateOptions{})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		// Another replica was first: its certificate is as good.
		secret, err = secrets.Get(ctx, k.cfg.Secret.Name, metav1.GetOptions{})
		if err == nil {
			data = secret.Data
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write the renewed certificate to Secret %s: %w", k.cfg.Secret, err)
	}
	telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelInfo, "Renewed the webhook's certificate", slog.String("secret", k.cfg.Secret.String()))
	return data, nil
}

// GetCertificate is for a tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.serving == nil {
		return nil, errors.New("there is no certificate yet")
	}
	return k.serving.serving, nil
}

// Check tells whether a certificate is served that the API server trusts.
func (k *Keeper) Check(context.Context) (string, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	switch {
	case k.serving == nil && k.err != nil:
		return "", k.err
	case k.serving == nil:
		return "", errors.New("there is no certificate yet")
	case k.err != nil:
		return "served until " + k.serving.leaf.NotAfter.Format(time.RFC3339), k.err
	case k.cfg.Clock.Now().After(k.serving.leaf.NotAfter):
		return "", errors.New("the certificate has run out")
	}
	return "valid until " + k.serving.leaf.NotAfter.Format(time.RFC3339), nil
}
