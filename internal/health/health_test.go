package health

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func answering(name, detail string, err error) Check {
	return Check{Name: name, Func: func(context.Context) (string, error) { return detail, err }}
}

func TestHandler(t *testing.T) {
	var checks Checks
	if err := checks.Add(
		answering("sources", "3 polled", nil),
		answering("broker", "", errors.New("connection refused")),
	); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		target, wantBody string
		wantCode         int
	}{
		"one failing check fails all": {"/readyz", "[+]sources ok: 3 polled\n[-]broker failed: connection refused\nreadyz check failed\n", http.StatusServiceUnavailable},
		"left out":                    {"/readyz?exclude=broker", "ok", http.StatusOK},
		"verbose":                     {"/readyz?verbose&exclude=broker", "[+]sources ok: 3 polled\nreadyz check passed\n", http.StatusOK},
		"one of them":                 {"/readyz/broker", "[-]broker failed: connection refused\nreadyz check failed\n", http.StatusServiceUnavailable},
		"none of them":                {"/readyz/disk", "no check is named disk\n", http.StatusNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			checks.Handler("/readyz").ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, tc.target, nil))
			if recorder.Code != tc.wantCode {
				t.Errorf("code = %d, want %d", recorder.Code, tc.wantCode)
			}
			if diff := cmp.Diff(tc.wantBody, recorder.Body.String()); diff != "" {
				t.Errorf("body -want +got:\n%s", diff)
			}
		})
	}
}

// A check that hangs fails, and does not hang the probe.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks Checks
		release := make(chan struct{})
		hanging := Check{Name: "hanging", Func: func(context.Context) (string, error) {
			<-release
			return "", nil
		}}
		if err := checks.Add(hanging, answering("well", "", nil)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, result := range checks.Run(t.Context(), nil) {
			got = append(got, result.String())
		}
		want := []string{"[-]hanging failed: no answer within 2s", "[+]well ok"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Run() -want +got:\n%s", diff)
		}
		close(release)
	})
}

func TestAddRefuses(t *testing.T) {
	for name, added := range map[string][]Check{
		"a name twice":             {answering("a", "", nil), answering("a", "", nil)},
		"no name":                  {answering("", "", nil)},
		"a name that fits no path": {answering("a/b", "", nil)},
		"no function":              {{Name: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var checks Checks
			if err := checks.Add(added...); err == nil {
				t.Error("Add() succeeded")
			}
		})
	}
}
