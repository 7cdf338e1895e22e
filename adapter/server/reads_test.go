package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestWhichRequestsAreReads(t *testing.T) {
	tests := map[string]struct {
		method, path string
		headers      map[string]string
		want         bool
	}{
		"an external metric":    {path: "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/depth", want: true},
		"a custom metric":       {path: "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/a/depth", want: true},
		"discovery of a group":  {path: "/apis/external.metrics.k8s.io/v1beta1", want: true},
		"decisions":             {path: "/apis/adapter.decisions.quartet.dev/v1alpha1/decisions"},
		"a group of like name":  {path: "/apis/external.metrics.k8s.io.example/v1/x"},
		"metrics of the binary": {path: "/metrics"},
		"a write":               {method: http.MethodPost, path: "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/depth"},
		"a caller who asks to be another": {
			path:    "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/depth",
			headers: map[string]string{"impersonate-user": "admin"},
		},
		"a caller who asks for more groups": {
			path:    "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/depth",
			headers: map[string]string{"Impersonate-Extra-Scopes": "all"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodGet
			}
			r := httptest.NewRequestWithContext(t.Context(), method, tc.path, http.NoBody)
			for k, v := range tc.headers {
				r.Header.Set(k, v)
			}
			if got := isRead(r); got != tc.want {
				t.Errorf("isRead = %v, want %v", got, tc.want)
			}
		})
	}
}

// countedAuth authenticates by the first certificate and X-Remote-User, and counts.
type countedAuth struct{ times int }

func (a *countedAuth) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	a.times++
	name := r.Header.Get("X-Remote-User")
	if name == "nobody" {
		return nil, false, errors.New("refused")
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: name, Groups: r.Header["X-Remote-Group"]}}, true, nil
}

func TestCallersAreKnownByWhatTheyShow(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(epoch)
	proxy := &x509.Certificate{Raw: []byte("proxy"), NotAfter: epoch.Add(time.Hour)}
	ending := &x509.Certificate{Raw: []byte("ending"), NotAfter: epoch.Add(3 * time.Second)}
	request := func(certificate *x509.Certificate, headers ...string) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if certificate != nil {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		return r
	}
	tests := map[string]struct {
		first, second *http.Request
		later         time.Duration
		want          int
	}{
		"the same again":          {first: request(proxy, "X-Remote-User", "a"), second: request(proxy, "X-Remote-User", "a"), want: 1},
		"what tells nothing":      {first: request(proxy, "X-Remote-User", "a", "Accept", "x"), second: request(proxy, "X-Remote-User", "a", "Audit-Id", "y"), want: 1},
		"another user":            {first: request(proxy, "X-Remote-User", "a"), second: request(proxy, "X-Remote-User", "b"), want: 2},
		"another group":           {first: request(proxy, "X-Remote-User", "a", "X-Remote-Group", "g"), second: request(proxy, "X-Remote-User", "a", "X-Remote-Group", "h"), want: 2},
		"one group for two":       {first: request(proxy, "X-Remote-Group", "g", "X-Remote-Group", "h"), second: request(proxy, "X-Remote-Group", "gh"), want: 2},
		"another extra":           {first: request(proxy, "X-Remote-Extra-Scope", "1"), second: request(proxy, "X-Remote-Extra-Scope", "2"), want: 2},
		"a name for a value":      {first: request(proxy, "X-Remote-User", "a"), second: request(proxy, "X-Remote-Group", "a"), want: 2},
		"another certificate":     {first: request(proxy, "X-Remote-User", "a"), second: request(ending, "X-Remote-User", "a"), want: 2},
		"too long ago":            {first: request(proxy, "X-Remote-User", "a"), second: request(proxy, "X-Remote-User", "a"), later: knownFor, want: 2},
		"a certificate that ends": {first: request(ending, "X-Remote-User", "a"), second: request(ending, "X-Remote-User", "a"), later: 3 * time.Second, want: 2},
		"no certificate":          {first: request(nil, "X-Remote-User", "a"), second: request(nil, "X-Remote-User", "a"), want: 2},
		"a token beside":          {first: request(proxy, "X-Remote-User", "a", "Authorization", "Bearer x"), second: request(proxy, "X-Remote-User", "a", "Authorization", "Bearer x"), want: 2},
		"who is refused":          {first: request(proxy, "X-Remote-User", "nobody"), second: request(proxy, "X-Remote-User", "nobody"), want: 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			clock.SetTime(epoch)
			next := &countedAuth{}
			known := newKnownCallers(next, &authenticatorfactory.RequestHeaderConfig{
				UsernameHeaders: headerrequest.StaticStringSlice{"X-Remote-User"}, UIDHeaders: headerrequest.StaticStringSlice{"X-Remote-Uid"},
				GroupHeaders: headerrequest.StaticStringSlice{"X-Remote-Group"}, ExtraHeaderPrefixes: headerrequest.StaticStringSlice{"X-Remote-Extra-"},
			}, clock)
			_, _, _ = known.AuthenticateRequest(tc.first)
			clock.SetTime(epoch.Add(tc.later))
			who, ok, err := known.AuthenticateRequest(tc.second)
			if next.times != tc.want {
				t.Errorf("asked %d times, want %d", next.times, tc.want)
			}
			plain, wantOK, wantErr := (&countedAuth{}).AuthenticateRequest(tc.second)
			if diff := cmp.Diff(plain, who); diff != "" || ok != wantOK || (err == nil) != (wantErr == nil) {
				t.Errorf("remembered another (-asked +remembered): %s %v %v", diff, ok, err)
			}
		})
	}
}

func TestWideGrantsSpareQuestions(t *testing.T) {
	of := func(name, namespace, metric string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: name}, Verb: "list", Namespace: namespace, APIGroup: "external.metrics.k8s.io",
			APIVersion: "v1beta1", Resource: metric, ResourceRequest: true,
		}
	}
	type question struct{ User, Namespace, Resource string }
	var questions []question
	clock := clocktesting.NewFakePassiveClock(epoch)
	grants := newWideGrants(authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		questions = append(questions, question{a.GetUser().GetName(), a.GetNamespace(), a.GetResource()})
		switch {
		case a.GetUser().GetName() == "controller":
			return authorizer.DecisionAllow, "", nil
		case a.GetUser().GetName() == "tenant" && a.GetNamespace() == "shop" && a.GetResource() == "depth":
			return authorizer.DecisionAllow, "", nil
		case a.GetUser().GetName() == "unlucky":
			return authorizer.DecisionNoOpinion, "", errors.New("the API server is away")
		}
		return authorizer.DecisionNoOpinion, "no rule", nil
	}), clock)
	tests := []struct {
		name  string
		ask   authorizer.Attributes
		later time.Duration
		want  authorizer.Decision
		asks  []question
	}{
		{name: "who may everything", ask: of("controller", "shop", "depth"), want: authorizer.DecisionAllow, asks: []question{{"controller", "", "*"}}},
		{name: "is not asked for again", ask: of("controller", "other", "age"), want: authorizer.DecisionAllow},
		{name: "until some time has passed", ask: of("controller", "other", "age"), later: grantedFor, want: authorizer.DecisionAllow, asks: []question{{"controller", "", "*"}}},
		{name: "who may one", ask: of("tenant", "shop", "depth"), want: authorizer.DecisionAllow, asks: []question{{"tenant", "", "*"}, {"tenant", "shop", "depth"}}},
		{name: "may no other", ask: of("tenant", "shop", "age"), want: authorizer.DecisionNoOpinion, asks: []question{{"tenant", "", "*"}, {"tenant", "shop", "age"}}},
		{name: "errors allow nothing", ask: of("unlucky", "shop", "age"), want: authorizer.DecisionNoOpinion, asks: []question{{"unlucky", "", "*"}, {"unlucky", "shop", "age"}}},
		{name: "a path is asked for as it is", ask: authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "controller"}, Verb: "get", Path: "/metrics"}, want: authorizer.DecisionAllow, asks: []question{{"controller", "", ""}}},
	}
	at := epoch
	for _, tc := range tests {
		at = at.Add(tc.later)
		clock.SetTime(at)
		questions = nil
		got, _, _ := grants.Authorize(t.Context(), tc.ask)
		if got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		if diff := cmp.Diff(tc.asks, questions); diff != "" {
			t.Errorf("%s: questions (-want +got):\n%s", tc.name, diff)
		}
	}
}

// TestGrantsOfOneAreNotAnothers has callers who differ in one thing each.
func TestGrantsOfOneAreNotAnothers(t *testing.T) {
	base := func() (authorizer.AttributesRecord, *user.DefaultInfo) {
		u := &user.DefaultInfo{Name: "a", UID: "1", Groups: []string{"g", "h"}, Extra: map[string][]string{"k": {"v"}}}
		return authorizer.AttributesRecord{User: u, Verb: "list", APIGroup: "external.metrics.k8s.io", APIVersion: "v1beta1", ResourceRequest: true}, u
	}
	changes := map[string]func(*authorizer.AttributesRecord, *user.DefaultInfo){
		"nothing": func(*authorizer.AttributesRecord, *user.DefaultInfo) {},
		"name":    func(_ *authorizer.AttributesRecord, u *user.DefaultInfo) { u.Name = "b" },
		"uid":     func(_ *authorizer.AttributesRecord, u *user.DefaultInfo) { u.UID = "2" },
		"groups":  func(_ *authorizer.AttributesRecord, u *user.DefaultInfo) { u.Groups = []string{"gh"} },
		"extra":   func(_ *authorizer.AttributesRecord, u *user.DefaultInfo) { u.Extra = map[string][]string{"k": {"w"}} },
		"no extra": func(_ *authorizer.AttributesRecord, u *user.DefaultInfo) {
			u.Groups, u.Extra = append(u.Groups, "k", "v"), nil
		},
		"verb":  func(a *authorizer.AttributesRecord, _ *user.DefaultInfo) { a.Verb = "get" },
		"group": func(a *authorizer.AttributesRecord, _ *user.DefaultInfo) { a.APIGroup = "custom.metrics.k8s.io" },
	}
	seen := map[string]string{}
	for name, change := range changes {
		a, u := base()
		change(&a, u)
		key := grantKey(a)
		if other, taken := seen[key]; taken {
			t.Errorf("%s and %s share a grant", name, other)
		}
		seen[key] = name
	}
}
