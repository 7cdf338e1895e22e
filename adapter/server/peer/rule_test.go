package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRule(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const base = "name=keda,service=keda/metrics:8443,metrics=^s[0-9]+-"
	for name, test := range map[string]struct{ text, want, fault string }{
		"all keys": {
			text: base + ",namespaces=shop,data,ca-file=" + ca + ",token-file=" + ca + ",timeout=2s,max-age=5m",
			want: "keda keda/metrics:8443 ^s[0-9]+- [shop data] ca=true token=true insecure=false 2s 5m0s",
		},
		"defaults":                {text: "name=dd,service=datadog/agent,metrics=^dd,insecure-skip-verify=true", want: "dd datadog/agent:443 ^dd [] ca=false token=false insecure=true 5s 0s"},
		"commas of an expression": {text: "metrics=^a{1,2}$,insecure-skip-verify=true,service=a/b,name=c", want: "c a/b:443 ^a{1,2}$ [] ca=false token=false insecure=true 5s 0s"},
		"nothing":                 {text: "", fault: `"" is not one of name=, service=`},
		"no name":                 {text: "service=a/b,metrics=x,insecure-skip-verify=true", fault: "name is required"},
		"no service":              {text: "name=a,metrics=x,insecure-skip-verify=true", fault: "service is required"},
		"no metrics":              {text: "name=a,service=a/b,insecure-skip-verify=true", fault: "metrics is required"},
		"no ca":                   {text: base, fault: "ca-file is required"},
		"both":                    {text: base + ",insecure-skip-verify=true,ca-file=" + ca, fault: "no meaning with insecure"},
		"an unknown key":          {text: base + ",metric=x", fault: `"metric=x" is not one of`},
		"twice":                   {text: base + ",name=b", fault: "name is given twice"},
		"an empty value":          {text: base + ",ca-file=", fault: "ca-file has no value"},
		"a file that is not":      {text: base + ",ca-file=" + ca + ".no", fault: "ca-file: stat"},
		"a bad expression":        {text: "name=a,service=a/b,metrics=(,insecure-skip-verify=true", fault: "metrics=(: error parsing regexp"},
		"a bad port":              {text: "name=a,service=a/b:99999,metrics=x,insecure-skip-verify=true", fault: `"99999" is no port`},
		"no namespace":            {text: "name=a,service=b:1,metrics=x,insecure-skip-verify=true", fault: "namespace/name:port"},
		"a bad namespace":         {text: base + ",namespaces=A B", fault: `namespaces=A B: "A B"`},
		"a bad name":              {text: "name=A,service=a/b,metrics=x,insecure-skip-verify=true", fault: "name=A: "},
		"no time":                 {text: base + ",ca-file=" + ca + ",timeout=0s", fault: "timeout is to be above 0"},
		"too much time":           {text: base + ",ca-file=" + ca + ",timeout=1m", fault: "at most 25s"},
		"a negative age":          {text: base + ",ca-file=" + ca + ",max-age=-1s", fault: "max-age"},
		"no boolean":              {text: base + ",insecure-skip-verify=maybe", fault: "insecure-skip-verify=maybe"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRule(test.text)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("error %v, want one with %s", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %s/%s:%d %s %v ca=%t token=%t insecure=%t %s %s", r.Name, r.Namespace, r.Service, r.Port, r.Metrics, r.Namespaces,
				r.CAFile != "", r.TokenFile != "", r.Insecure, r.Timeout, r.MaxAge)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("name=keda,service=keda/metrics:8443,metrics=^s[0-9]+-,insecure-skip-verify=true")
	f.Add("name=a,service=a/b,metrics=a{1,2},namespaces=x,y,timeout=1s")
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := ParseRule(text)
		if err == nil && (rule.Name == "" || rule.Service == "" || rule.Namespace == "" || rule.Metrics == nil || rule.Timeout <= 0) {
			t.Errorf("%q is taken as %+v", text, rule)
		}
	})
}

func TestCovers(t *testing.T) {
	rule, err := ParseRule("name=keda,service=keda/metrics,metrics=^s[0-9]+-,namespaces=shop,insecure-skip-verify=true")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		namespace, metric string
		want              bool
	}{{"shop", "s0-rabbitmq", true}, {"data", "s0-rabbitmq", false}, {"shop", "orders-s0-", false}} {
		if got := rule.Covers(test.namespace, test.metric); got != test.want {
			t.Errorf("%s/%s is covered: %t", test.namespace, test.metric, got)
		}
	}
}
