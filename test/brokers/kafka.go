package brokers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Kafka says how to run brokers that speak Kafka's protocol within this process:
// kfake, the fake cluster that the client's own authors test with. It is not
// Kafka's own server, which needs a Java machine that no system package brings.
type Kafka struct {
	// Ports of the brokers on loopback, one broker for each.
	Ports []int
	// Dir keeps records and offsets over a Stop; empty forgets them.
	Dir string
	// CAPath, CertificatePath and KeyPath are PEM files for TLS. A client must
	// show a certificate of the authority where ClientCertificates says so.
	CAPath, CertificatePath, KeyPath string
	ClientCertificates               bool
	// Users by "mechanism/name", with their passwords, who may do everything.
	Users map[string]string
	// Options are kfake's own, for what is not above.
	Options []kfake.Opt
}

// KafkaCluster is a fake cluster that can be stopped and started again.
type KafkaCluster struct {
	options []kfake.Opt
	Brokers []string

	mu      sync.Mutex
	cluster *kfake.Cluster
}

// NewKafka chooses ports for a number of brokers.
func NewKafka(n int) (Kafka, error) {
	var k Kafka
	for range n {
		port, err := FreePort()
		if err != nil {
			return Kafka{}, err
		}
		k.Ports = append(k.Ports, port)
	}
	return k, nil
}

// Start runs the cluster.
func (k Kafka) Start() (*KafkaCluster, error) {
	options := append([]kfake.Opt{kfake.NumBrokers(len(k.Ports)), kfake.Ports(k.Ports...)}, k.Options...)
	if k.Dir != "" {
		options = append(options, kfake.DataDir(k.Dir), kfake.SyncWrites())
	}
	if k.CertificatePath != "" {
		config, err := k.tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, kfake.TLS(config))
	}
	if len(k.Users) > 0 {
		options = append(options, kfake.EnableSASL())
	}
	for user, password := range k.Users {
		mechanism, name, ok := strings.Cut(user, "/")
		if !ok {
			return nil, fmt.Errorf("%s is no user such as PLAIN/name", user)
		}
		options = append(options, kfake.Superuser(mechanism, name, password))
	}
	c := &KafkaCluster{options: options}
	for _, port := range k.Ports {
		c.Brokers = append(c.Brokers, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return c, c.Restart(context.Background())
}

func (k Kafka) tlsConfig() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(k.CertificatePath, k.KeyPath)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of Kafka: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if !k.ClientCertificates {
		return config, nil
	}
	ca, err := os.ReadFile(k.CAPath)
	if err != nil {
		return nil, fmt.Errorf("reading the authority of Kafka: %w", err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("the authority of Kafka is no PEM certificate")
	}
	return config, nil
}

// Restart runs the cluster again after Stop.
func (c *KafkaCluster) Restart(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cluster, err := kfake.NewCluster(c.options...)
	if err != nil {
		return fmt.Errorf("starting brokers that speak Kafka: %w", err)
	}
	c.cluster = cluster
	return nil
}

// Fake is the cluster that runs now, to make it fail.
func (c *KafkaCluster) Fake() *kfake.Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cluster
}

// Stop ends all brokers.
func (c *KafkaCluster) Stop() error {
	c.Fake().Close()
	return nil
}

// Close is Stop: nothing of a server is left.
func (c *KafkaCluster) Close() error { return c.Stop() }
