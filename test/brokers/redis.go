package brokers

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Redis says how to run a Redis server, a node of a cluster, or a sentinel, on
// loopback. What is written survives the server's end.
type Redis struct {
	// Dir is an empty folder for its data; see Folder.
	Dir string
	// Port is TLS's where CertificatePath is set, and otherwise plain.
	Port int
	// Password is the default user's; without it anyone may do anything.
	Password string
	// Users are further users, as in an ACL file without the word user:
	// "reader on >password ~orders +@read".
	Users []string
	// ReplicaOf is the address of a master that this one is a replica of.
	ReplicaOf string
	// Events is the setting notify-keyspace-events, such as "Kl".
	Events string
	// BusPort makes the server a node of a cluster, which talks to others there.
	BusPort int
	// CAPath, CertificatePath and KeyPath are PEM files for TLS. A client must
	// show a certificate of the authority where ClientCertificates says so.
	CAPath, CertificatePath, KeyPath string
	ClientCertificates               bool
	// Watches makes the server a sentinel.
	Watches *RedisWatch
}

// RedisWatch is what a sentinel watches.
type RedisWatch struct {
	// Name of the set, and the Address of its present master.
	Name, Address string
	// Password of the servers that it watches, if any.
	Password string
}

// NewRedis chooses a port for a server with its data in dir.
func NewRedis(dir string) (Redis, error) {
	port, err := FreePort()
	return Redis{Dir: dir, Port: port}, err
}

// Address of the server.
func (r Redis) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)) }

// Config writes the server's settings and makes its configuration for Start.
func (r Redis) Config() (Config, error) {
	program, err := Find("redis-server")
	if err != nil {
		return Config{}, err
	}
	path := filepath.Join(r.Dir, "redis.conf")
	if err := os.WriteFile(path, []byte(r.settings()), 0o600); err != nil {
		return Config{}, fmt.Errorf("writing the settings of Redis: %w", err)
	}
	c := Config{Name: "redis-" + strconv.Itoa(r.Port), Path: program, Args: []string{path}, Dir: r.Dir, Ready: r.ready}
	if r.Watches != nil {
		c.Args = append(c.Args, "--sentinel")
	}
	return c, nil
}

// settings are the lines of the server's file.
func (r Redis) settings() string {
	lines := []string{"bind 127.0.0.1", "dir " + r.Dir}
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if r.CertificatePath == "" {
		add("port %d", r.Port)
	} else {
		add("port 0")
		add("tls-port %d", r.Port)
		add("tls-cert-file %s", r.CertificatePath)
		add("tls-key-file %s", r.KeyPath)
		add("tls-ca-cert-file %s", r.CAPath)
		add("tls-auth-clients %s", map[bool]string{true: "yes", false: "no"}[r.ClientCertificates])
	}
	if r.Password != "" {
		add("requirepass %s", r.Password)
	}
	for _, user := range r.Users {
		add("user %s", user)
	}
	if w := r.Watches; w != nil {
		host, port, _ := net.SplitHostPort(w.Address) // an address of ours
		add("sentinel monitor %s %s %s 1", w.Name, host, port)
		add("sentinel down-after-milliseconds %s 500", w.Name)
		add("sentinel failover-timeout %s 2000", w.Name)
		if w.Password != "" {
			add("sentinel auth-pass %s %s", w.Name, w.Password)
		}
		return strings.Join(lines, "\n") + "\n"
	}
	add("appendonly yes")
	add("appendfsync always")
	add(`save ""`)
	add("repl-diskless-sync-delay 0")
	if r.Events != "" {
		add("notify-keyspace-events %s", r.Events)
	}
	if r.ReplicaOf != "" {
		add("replicaof %s", strings.Replace(r.ReplicaOf, ":", " ", 1))
		add("masterauth %s", strconv.Quote(r.Password))
	}
	if r.BusPort != 0 {
		add("cluster-enabled yes")
		add("cluster-port %d", r.BusPort)
		add("cluster-node-timeout 1000")
	}
	return strings.Join(lines, "\n") + "\n"
}

// ready gives nil once the server answers a PING, were it to say that it wants a
// password; or listens, where it wants a certificate.
func (r Redis) ready(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.Address())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it only asked
	if r.ClientCertificates {
		return nil // it listens, and answers nobody without a certificate
	}
	if r.CertificatePath != "" {
		//nolint:gosec // asks whether the server that was just started answers, and says nothing
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "+PONG") && !strings.HasPrefix(answer, "-NOAUTH") {
		return fmt.Errorf("redis answers %s", strings.TrimSpace(answer))
	}
	return nil
}
