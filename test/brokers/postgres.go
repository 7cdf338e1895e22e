package brokers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// PostgresConfig says what PostgreSQL server to run.
type PostgresConfig struct {
	// Dir is an empty folder that Folder made.
	Dir  string
	Port int
	// Password of the superuser postgres, who logs in with SCRAM.
	Password string
	// CA, Certificate and Key are paths of PEM files; with them the server offers
	// TLS beside plain connections. A client whose user is named in
	// CertificateUsers has to present a certificate of that name.
	CA, Certificate, Key string
	CertificateUsers     []string
	// ClearTextUsers are asked for their password in clear text.
	ClearTextUsers []string
}

// postgresUser is the user of the system that Debian's package makes: the server
// does not run as root.
const postgresUser = "postgres"

// Postgres makes the data of a PostgreSQL server and says how to run it. Nothing
// is synchronized to disk. Told to Stop, this server waits until its clients have
// gone.
func Postgres(ctx context.Context, c PostgresConfig) (Config, error) {
	program, err := Find("postgres")
	if err != nil {
		return Config{}, err
	}
	initdb, err := Find("initdb")
	if err != nil {
		return Config{}, err
	}
	password := filepath.Join(c.Dir, "password")
	if err := os.WriteFile(password, []byte(c.Password+"\n"), 0o600); err != nil {
		return Config{}, err
	}
	if err := chown(postgresUser, c.Dir, password); err != nil {
		return Config{}, err
	}
	data := filepath.Join(c.Dir, "data")
	err = runAs(ctx, postgresUser, initdb, "--pgdata", data, "--username", "postgres", "--pwfile", password,
		"--auth", "scram-sha-256", "--no-sync", "--encoding", "UTF8", "--no-locale", "--no-instructions")
	if err != nil {
		return Config{}, err
	}
	args := []string{
		"-D", data, "-p", strconv.Itoa(c.Port), "-h", "127.0.0.1", "-k", c.Dir,
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=16MB",
		"-c", "max_connections=40",
	}
	if c.Certificate != "" {
		key := filepath.Join(c.Dir, "postgres.key")
		if err := ownCopy(c.Key, key, postgresUser); err != nil {
			return Config{}, err
		}
		args = append(args, "-c", "ssl=on", "-c", "ssl_ca_file="+c.CA, "-c", "ssl_cert_file="+c.Certificate, "-c", "ssl_key_file="+key)
	}
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(c.access()), 0o644); err != nil {
		return Config{}, err
	}
	return Config{
		Name: "postgres", Path: program, Args: args, User: postgresUser, Dir: c.Dir, Ready: c.ready(),
	}, nil
}

// access is the server's pg_hba.conf.
func (c PostgresConfig) access() string {
	var b strings.Builder
	for _, name := range c.CertificateUsers {
		fmt.Fprintf(&b, "hostssl all %s 127.0.0.1/32 cert\nhostnossl all %s 127.0.0.1/32 reject\n", name, name)
	}
	for _, name := range c.ClearTextUsers {
		fmt.Fprintf(&b, "host all %s 127.0.0.1/32 password\n", name)
	}
	b.WriteString("host all all 127.0.0.1/32 scram-sha-256\n")
	return b.String()
}

// ready asks by the program that the package has for it.
func (c PostgresConfig) ready() func(context.Context) error {
	return func(ctx context.Context) error {
		program, err := Find("pg_isready")
		if err != nil {
			return err
		}
		return exec.CommandContext(ctx, program, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(c.Port)).Run()
	}
}

// Address is where the server listens.
func (c PostgresConfig) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port))
}

// runAs runs a program to its end, as another user of the system where this
// process is root's. An error holds the end of what it said.
func runAs(ctx context.Context, name, program string, args ...string) error {
	if os.Getuid() == 0 {
		args = append([]string{"--reuid", name, "--regid", name, "--clear-groups", "--", program}, args...)
		program = "/usr/bin/setpriv"
	}
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = "/"
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w; it said:\n%s", filepath.Base(program), err, out[max(0, len(out)-logShown):])
	}
	return nil
}

// chown gives files to a user of the system where this process is root's.
func chown(name string, paths ...string) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("finding the user %s: %w", name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// ownCopy copies a key so that only a server's user can read it: servers refuse
// others.
func ownCopy(from, to, name string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		return err
	}
	return chown(name, to)
}
