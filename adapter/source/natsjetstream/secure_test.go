package natsjetstream_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

func TestCredentials(t *testing.T) {
	const secret = "correct-horse-battery"
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	seed, _ := pair.Seed()
	userPassword := func(o *server.Options) { o.Username, o.Password = "reader", secret }
	basic := &v1alpha1.NATSCredentials{Basic: &v1alpha1.BasicAuth{
		Username: v1alpha1.SecretKey{Name: "nats", Key: "user"}, Password: v1alpha1.SecretKey{Name: "nats", Key: "password"},
	}}
	token := &v1alpha1.NATSCredentials{Token: &v1alpha1.SecretKey{Name: "nats", Key: "token"}}
	nkey := &v1alpha1.NATSCredentials{NKeySeed: &v1alpha1.SecretKey{Name: "nats", Key: "seed"}}

	for name, test := range map[string]struct {
		server      func(*server.Options)
		admin       []nats.Option
		credentials *v1alpha1.NATSCredentials
		secrets     secrets
		want        string // a reason, empty for success
	}{
		"right password": {userPassword, []nats.Option{nats.UserInfo("reader", secret)}, basic, secrets{"nats/user": "reader", "nats/password": secret}, ""},
		"wrong password": {userPassword, []nats.Option{nats.UserInfo("reader", secret)}, basic, secrets{"nats/user": "reader", "nats/password": "wrong-horse-battery"}, source.ReasonUnauthorized},
		"no credentials": {userPassword, []nats.Option{nats.UserInfo("reader", secret)}, nil, nil, source.ReasonUnauthorized},
		"right token":    {func(o *server.Options) { o.Authorization = secret }, []nats.Option{nats.Token(secret)}, token, secrets{"nats/token": secret}, ""},
		"wrong token":    {func(o *server.Options) { o.Authorization = secret }, []nats.Option{nats.Token(secret)}, token, secrets{"nats/token": "wrong-horse-battery"}, source.ReasonUnauthorized},
		"right nkey": {
			func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} },
			[]nats.Option{nats.Nkey(public, pair.Sign)}, nkey, secrets{"nats/seed": string(seed) + "\n"}, "",
		},
		"request not allowed": {
			func(o *server.Options) {
				o.Users = []*server.User{
					{Username: "admin", Password: secret},
					{Username: "reader", Password: secret, Permissions: &server.Permissions{
						Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.INFO.>"}},
					}},
				}
			},
			[]nats.Option{nats.UserInfo("admin", secret)}, basic,
			secrets{"nats/user": "reader", "nats/password": secret}, source.ReasonUnauthorized,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, test.server)
			makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{}, test.admin...)
			spec := spec(s.ClientURL())
			spec.Credentials = test.credentials
			p := open(t, spec, test.secrets)
			if test.want == "" {
				mustPoll(t, p)
				return
			}
			message := wantFailure(t, p, time.Second, test.want)
			for _, value := range test.secrets {
				if len(value) > 6 && strings.Contains(message, value) {
					t.Errorf("the message shows a credential: %s", message)
				}
			}
		})
	}
}

func TestTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	s := startServer(t, func(o *server.Options) { o.TLSConfig = tlsConfig(ours); o.TLSTimeout = 5 })
	url := strings.Replace(s.ClientURL(), "nats://", "tls://", 1)
	adminTLS := tlsConfig(ours)
	adminTLS.RootCAs = pool(t, ours)
	makeQueue(t, url, jetstream.ConsumerConfig{}, nats.Secure(adminTLS))

	ca := &v1alpha1.SecretKey{Name: "ca", Key: "ca.crt"}
	for name, test := range map[string]struct {
		tls     *v1alpha1.TLS
		secrets secrets
		want    string
	}{
		"our authority":       {&v1alpha1.TLS{CA: ca}, secrets{"ca/ca.crt": ours.pem}, ""},
		"another authority":   {&v1alpha1.TLS{CA: ca}, secrets{"ca/ca.crt": other.pem}, source.ReasonTLS},
		"the system's":        {nil, nil, source.ReasonTLS},
		"another server name": {&v1alpha1.TLS{CA: ca, ServerName: "elsewhere"}, secrets{"ca/ca.crt": ours.pem}, source.ReasonTLS},
		"not verified":        {&v1alpha1.TLS{InsecureSkipVerify: true}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec := spec(url)
			spec.TLS = test.tls
			p := open(t, spec, test.secrets)
			if test.want == "" {
				mustPoll(t, p)
				return
			}
			wantFailure(t, p, pollTimeout, test.want)
		})
	}
}

func TestWebSocket(t *testing.T) {
	ours := newAuthority(t)
	for scheme, web := range map[string]server.WebsocketOpts{
		"ws": {Host: "127.0.0.1", Port: -1, NoTLS: true}, "wss": {Host: "127.0.0.1", Port: -1, TLSConfig: tlsConfig(ours)},
	} {
		t.Run(scheme, func(t *testing.T) {
			s := startServer(t, func(o *server.Options) { o.Websocket = web })
			makeQueue(t, s.ClientURL(), jetstream.ConsumerConfig{})
			_, at, _ := strings.Cut(s.WebsocketURL(), "://")
			asked := spec(scheme + "://" + at)
			if scheme == "wss" {
				asked.TLS = &v1alpha1.TLS{CA: &v1alpha1.SecretKey{Name: "ca", Key: "ca.crt"}}
			}
			mustPoll(t, open(t, asked, secrets{"ca/ca.crt": ours.pem}))
		})
	}
}

func tlsConfig(a authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.server}, MinVersion: tls.VersionTLS12}
}

func pool(t testing.TB, a authority) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(a.pem)) {
		t.Fatal("the authority's own certificate is no PEM")
	}
	return p
}
