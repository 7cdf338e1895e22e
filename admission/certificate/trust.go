package certificate

import (
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// trust puts the bundle into both webhook configurations.
func (k *Keeper) trust(ctx context.Context, bundle []byte, now time.Time) error {
	if err := k.trustMutating(ctx, bundle, now); err != nil {
		return fmt.Errorf("put the CA into MutatingWebhookConfiguration %s: %w", k.cfg.Mutating, err)
	}
	if err := k.trustValidating(ctx, bundle, now); err != nil {
		return fmt.Errorf("put the CA into ValidatingWebhookConfiguration %s: %w", k.cfg.Validating, err)
	}
	return nil
}

func (k *Keeper) trustMutating(ctx context.Context, bundle []byte, now time.Time) error {
	client := k.cfg.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	c, err := client.Get(ctx, k.cfg.Mutating, metav1.GetOptions{})
	if err != nil {
		return err
	}
	configs := make([]*admissionregistrationv1.WebhookClientConfig, len(c.Webhooks))
	for i := range c.Webhooks {
		configs[i] = &c.Webhooks[i].ClientConfig
	}
	if !inject(configs, bundle, now) {
		return nil
	}
	_, err = client.Update(ctx, c, metav1.UpdateOptions{})
	return err
}

func (k *Keeper) trustValidating(ctx context.Context, bundle []byte, now time.Time) error {
	client := k.cfg.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	c, err := client.Get(ctx, k.cfg.Validating, metav1.GetOptions{})
	if err != nil {
		return err
	}
	configs := make([]*admissionregistrationv1.WebhookClientConfig, len(c.Webhooks))
	for i := range c.Webhooks {
		configs[i] = &c.Webhooks[i].ClientConfig
	}
	if !inject(configs, bundle, now) {
		return nil
	}
	_, err = client.Update(ctx, c, metav1.UpdateOptions{})
	return err
}

// inject adds what is missing of the bundle, and tells whether it changed
// anything. What is trusted already stays until it runs out: another replica may
// still serve under it.
func inject(configs []*admissionregistrationv1.WebhookClientConfig, bundle []byte, now time.Time) bool {
	changed := false
	for _, c := range configs {
		if !covers(c.CABundle, bundle) {
			c.CABundle, changed = join(now, bundle, c.CABundle), true
		}
	}
	return changed
}
