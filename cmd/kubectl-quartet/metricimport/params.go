package metricimport

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// openHost stands where an address is not known: a name that never resolves.
const openHost = "fill-in.invalid"

// params are what one trigger is told, by its metadata and its authentication. All
// that is taken is remembered, so that what is left can be listed.
type params struct {
	r      *run
	object *unstructured.Unstructured
	// path is that of the trigger, and name the source's that is made of it.
	path, name string
	metadata   map[string]string
	auth       authentication
	taken      map[string]bool
}

func (p *params) note(field string, level Level, format string, args ...any) {
	p.r.note(p.object, p.path+".metadata."+field, level, format, args...)
}

// has tells whether a parameter is given in any way.
func (p *params) has(name string) bool {
	_, plain := p.metadata[name]
	_, env := p.metadata[name+"FromEnv"]
	return plain || env || p.auth.has(name)
}

// text takes a parameter that is no credential. Where its value is not there but
// in a Secret or in the workload's environment, it gives false, and a note says
// what is to be filled in as field of the source.
func (p *params) text(name, field string) (string, bool) {
	p.taken[name], p.taken[name+"FromEnv"] = true, true
	if value, ok := p.metadata[name]; ok && value != "" {
		return value, true
	}
	if env, ok := p.metadata[name+"FromEnv"]; ok {
		p.note(name+"FromEnv", FillIn, "the value is in variable %s of the workload's container: write it into %s", env, field)
		return "", false
	}
	if ref, where, ok := p.auth.secret(name); ok {
		p.r.note(p.object, p.path+".authenticationRef", FillIn, "%s is in key %s of Secret %s%s: write it, without any credential, into %s", name, ref.Key, ref.Name, where, field)
		return "", false
	}
	return "", false
}

// or takes a parameter that has a default.
func (p *params) or(name, field, otherwise string) string {
	if value, ok := p.text(name, field); ok {
		return value
	}
	return otherwise
}

// flag takes a parameter that is true or false.
func (p *params) flag(name string) bool {
	value, _ := p.text(name, name)
	set, err := strconv.ParseBool(value)
	if value != "" && err != nil {
		p.note(name, NotMapped, "%q is neither true nor false", value)
	}
	return set
}

// unused takes a parameter that changes nothing here.
func (p *params) unused(names ...string) {
	for _, name := range names {
		p.taken[name] = true
	}
}

// credential takes a parameter that must be in a Secret; nil where it is not
// given. A credential that is in no Secret is never repeated: a Secret of the
// source's own is named in its place.
func (p *params) credential(name string) *v1alpha1.SecretKey {
	p.taken[name], p.taken[name+"FromEnv"] = true, true
	if ref, where, ok := p.auth.secret(name); ok {
		if where != "" {
			p.r.note(p.object, p.path+".authenticationRef", FillIn, "Secret %s is%s: copy it to namespace %s", ref.Name, where, p.object.GetNamespace())
		}
		return &ref
	}
	_, plain := p.metadata[name]
	env, fromEnv := p.metadata[name+"FromEnv"]
	switch {
	case plain:
		return p.open(name, "it stands in clear text")
	case fromEnv:
		return p.open(name, "it is in variable "+env+" of the workload's container")
	case p.auth.has(name):
		return p.open(name, "its authentication takes it from no Secret")
	}
	return nil
}

// open names a Secret that is still to be made.
func (p *params) open(name, why string) *v1alpha1.SecretKey {
	ref := &v1alpha1.SecretKey{Name: cut(p.name+"-credentials", 253), Key: name}
	p.note(name, FillIn, "%s: put it into key %s of Secret %s", why, ref.Key, ref.Name)
	return ref
}

// basic takes a user's name and password; nil where neither is given. Where only
// the password is, the user's name is to be filled in.
func (p *params) basic(user, password string) *v1alpha1.BasicAuth {
	u, w := p.credential(user), p.credential(password)
	switch {
	case u == nil && w == nil:
		return nil
	case u == nil:
		u = p.open(user, "there is none, and one is needed beside "+password)
	case w == nil:
		w = p.open(password, "there is none, and one is needed beside "+user)
	}
	return &v1alpha1.BasicAuth{Username: *u, Password: *w}
}

// tls takes certificates; nil where nothing is given and the connection is not
// said to be secured.
func (p *params) tls(secured bool, ca, cert, key string) *v1alpha1.TLS {
	t := &v1alpha1.TLS{
		CA: p.credential(ca), ClientCertificate: p.credential(cert), ClientKey: p.credential(key),
		InsecureSkipVerify: p.flag("unsafeSsl"),
	}
	if (t.ClientCertificate == nil) != (t.ClientKey == nil) {
		t.ClientCertificate, t.ClientKey = nil, nil
		p.note(cert, NotMapped, "%s and %s go together, and only one is given", cert, key)
	}
	if p.has("keyPassword") {
		p.unused("keyPassword")
		p.note("keyPassword", NotMapped, "keys of certificates are read without a password: store the key in plain in its Secret")
	}
	if !secured && *t == (v1alpha1.TLS{}) {
		return nil
	}
	return t
}

// rest lists what no one took.
func (p *params) rest() {
	for _, name := range slices.Sorted(maps.Keys(p.metadata)) {
		if !p.taken[name] {
			p.note(name, NotMapped, "there is no counterpart")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.auth.refs)) {
		if !p.taken[name] {
			p.r.note(p.object, p.path+".authenticationRef", NotMapped, "parameter %s has no counterpart", name)
		}
	}
}

// list splits at commas, without blanks and empty parts.
func list(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out
}

// address takes host and port, or both in one parameter.
func (p *params) address(whole, port, field string) string {
	if value, ok := p.text("address", field); ok {
		p.unused("host", "port")
		return value
	}
	host := p.or("host", field, openHost)
	if host == openHost && !p.has("host") && !p.has("address") {
		p.note(whole, FillIn, "there is no address: write it into %s", field)
	}
	return joinPort(host, p.or("port", field, port))
}

// joinPort is host:port, whether or not the host has a port already.
func joinPort(host, port string) string {
	if i := strings.LastIndex(host, ":"); i >= 0 && !strings.HasSuffix(host, "]") {
		return host
	}
	return fmt.Sprintf("%s:%s", host, port)
}

func cut(text string, most int) string {
	if len(text) > most {
		return strings.TrimRight(text[:most], "-.")
	}
	return text
}
