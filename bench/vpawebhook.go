package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// registerLimit is how long a webhook may take to be registered with its authority.
const registerLimit = time.Minute

// registeredWebhook finds the one webhook that is asked about new pods, and sets up
// a client as the API server's.
func registeredWebhook(ctx context.Context, l *lab.Lab) (*webhook, error) {
	ctx, cancel := context.WithTimeout(ctx, registerLimit)
	defer cancel()
	for {
		w, err := findWebhook(ctx, l)
		if err == nil || pause(ctx, 100*time.Millisecond) != nil {
			return w, err
		}
	}
}

func findWebhook(ctx context.Context, l *lab.Lab) (*webhook, error) {
	var all admissionregistrationv1.MutatingWebhookConfigurationList
	if err := l.Client().List(ctx, &all); err != nil {
		return nil, fmt.Errorf("list the webhooks: %w", err)
	}
	var ofPods []admissionregistrationv1.MutatingWebhook
	for _, configuration := range all.Items {
		ofPods = append(ofPods, slices.DeleteFunc(configuration.Webhooks, func(w admissionregistrationv1.MutatingWebhook) bool {
			return !slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool { return slices.Contains(r.Resources, "pods") })
		})...)
	}
	if len(ofPods) != 1 {
		return nil, fmt.Errorf("%d webhooks are asked about pods, want 1", len(ofPods))
	}
	at := ofPods[0].ClientConfig
	if len(at.CABundle) == 0 {
		return nil, errors.New("the webhook has no authority yet")
	}
	config := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: at.CABundle}}
	url := ptr.Deref(at.URL, "")
	if at.Service != nil {
		// What a lab's Services lead to is on this machine, under the same port.
		config.ServerName = at.Service.Name + "." + at.Service.Namespace + ".svc"
		url = "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ptr.Deref(at.Service.Port, 443)))) + ptr.Deref(at.Service.Path, "")
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("set up a client of the webhook: %w", err)
	}
	return &webhook{client: client, url: url}, nil
}
