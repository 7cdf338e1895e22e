package brokers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// rabbitMQScript is the server itself. What the system's package puts on the path
// is a wrapper that changes the user and forgets the environment.
const rabbitMQScript = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// RabbitMQ says how to run a broker. Its user is guest, with password guest, who
// may connect from loopback.
type RabbitMQ struct {
	// Dir is an empty folder for its data; see Folder.
	Dir string
	// Port is AMQP's and ManagementPort the HTTP API's, both on 127.0.0.1.
	Port, ManagementPort int
	// TLSPort and ManagementTLSPort are the same secured, where they are not 0.
	TLSPort, ManagementTLSPort int
	// CAPath, CertificatePath and KeyPath are PEM files for the secured ports. With
	// ClientCertificates a client must show a certificate of the authority on AMQP's
	// secured port, and may log in with it as the user of its common name.
	CAPath, CertificatePath, KeyPath string
	ClientCertificates               bool
}

// ManagementURL is the root of the HTTP API.
func (r RabbitMQ) ManagementURL() string { return fmt.Sprintf("http://127.0.0.1:%d", r.ManagementPort) }

// URL is AMQP's.
func (r RabbitMQ) URL() string { return fmt.Sprintf("amqp://127.0.0.1:%d", r.Port) }

// NewRabbitMQ chooses ports for a broker with its data in dir.
func NewRabbitMQ(dir string) (RabbitMQ, error) {
	r := RabbitMQ{Dir: dir}
	for _, port := range []*int{&r.Port, &r.ManagementPort} {
		var err error
		if *port, err = FreePort(); err != nil {
			return RabbitMQ{}, err
		}
	}
	return r, nil
}

// Config writes the broker's files and makes its configuration for Start. The
// broker counts each second and not each five, as it would by default, and its
// figures are so up to two seconds old instead of ten.
func (r RabbitMQ) Config() (Config, error) {
	program, err := Find("rabbitmq-server")
	if err != nil {
		return Config{}, err
	}
	if info, err := os.Stat(rabbitMQScript); err == nil && info.Mode().IsRegular() {
		program = rabbitMQScript
	}
	// Erlang finds its nodes by a daemon of its own: one of the broker's, so that
	// it dies with it and knows of no other.
	distribution, err := FreePort()
	if err != nil {
		return Config{}, err
	}
	names, err := FreePort()
	if err != nil {
		return Config{}, err
	}
	plugins := "[rabbitmq_management].\n"
	if r.ClientCertificates {
		plugins = "[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n"
	}
	for name, content := range map[string]string{
		"rabbitmq.conf": r.settings(), "enabled_plugins": plugins,
		// What quorum queues count has a setting that the plain file does not know.
		"advanced.config": "[{rabbit, [{quorum_tick_interval, 1000}]}].\n",
	} {
		if err := os.WriteFile(r.path(name), []byte(content), 0o644); err != nil {
			return Config{}, fmt.Errorf("writing RabbitMQ's settings: %w", err)
		}
	}
	return Config{
		Name: "rabbitmq", Path: program, Dir: r.Dir, Ready: r.ready,
		Env: []string{
			fmt.Sprintf("RABBITMQ_NODENAME=quartet%d@localhost", r.Port),
			"RABBITMQ_MNESIA_BASE=" + r.path("data"),
			"RABBITMQ_LOG_BASE=" + r.path("log"),
			"RABBITMQ_LOGS=-",
			"RABBITMQ_CONFIG_FILE=" + r.path("rabbitmq.conf"),
			"RABBITMQ_ADVANCED_CONFIG_FILE=" + r.path("advanced.config"),
			"RABBITMQ_CONF_ENV_FILE=" + r.path("none.conf"),
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + r.path("enabled_plugins"),
			"RABBITMQ_DIST_PORT=" + strconv.Itoa(distribution),
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
			"ERL_EPMD_PORT=" + strconv.Itoa(names),
			"ERL_EPMD_ADDRESS=127.0.0.1",
		},
	}, nil
}

func (r RabbitMQ) path(name string) string { return filepath.Join(r.Dir, name) }

// settings is the broker's configuration file.
func (r RabbitMQ) settings() string {
	lines := []string{
		"listeners.tcp.1 = 127.0.0.1:" + strconv.Itoa(r.Port),
		"management.tcp.ip = 127.0.0.1",
		"management.tcp.port = " + strconv.Itoa(r.ManagementPort),
		"collect_statistics_interval = 1000",
		"management.sample_retention_policies.global.minute = 1",
		"management.sample_retention_policies.basic.minute = 1",
		"management.sample_retention_policies.detailed.minute = 1",
	}
	if r.TLSPort != 0 {
		lines = append(lines,
			"listeners.ssl.1 = 127.0.0.1:"+strconv.Itoa(r.TLSPort),
			"ssl_options.cacertfile = "+r.CAPath,
			"ssl_options.certfile = "+r.CertificatePath,
			"ssl_options.keyfile = "+r.KeyPath,
		)
		if r.ClientCertificates {
			lines = append(lines, "ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true",
				"auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = EXTERNAL", "ssl_cert_login_from = common_name")
		}
	}
	if r.ManagementTLSPort != 0 {
		lines = append(lines,
			"management.ssl.ip = 127.0.0.1",
			"management.ssl.port = "+strconv.Itoa(r.ManagementTLSPort),
			"management.ssl.cacertfile = "+r.CAPath,
			"management.ssl.certfile = "+r.CertificatePath,
			"management.ssl.keyfile = "+r.KeyPath,
		)
	}
	return strings.Join(lines, "\n") + "\n"
}

// ready asks the HTTP API for the broker's own word that its listener runs.
func (r RabbitMQ) ready(ctx context.Context) error {
	address := fmt.Sprintf("%s/api/health/checks/port-listener/%d", r.ManagementURL(), r.Port)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	request.SetBasicAuth("guest", "guest")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the management API answers with status %d", response.StatusCode)
	}
	return nil
}
