package brokers

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// MariaDBConfig says what MariaDB server to run.
type MariaDBConfig struct {
	// Dir is an empty folder that Folder made.
	Dir  string
	Port int
	// Init are statements, one a line, that run at every start, before anyone can
	// connect: the user root has no way in over the network without them.
	Init []string
	// CA, Certificate and Key are paths of PEM files; with them the server offers
	// TLS beside plain connections.
	CA, Certificate, Key string
}

// mariaDBUser is the user of the system that Debian's package makes: the server
// does not run as root.
const mariaDBUser = "mysql"

// MariaDB makes the data of a MariaDB server and says how to run it. Nothing is
// synchronized to disk.
func MariaDB(ctx context.Context, c MariaDBConfig) (Config, error) {
	program, err := Find("mariadbd")
	if err != nil {
		return Config{}, err
	}
	install, err := Find("mariadb-install-db")
	if err != nil {
		return Config{}, err
	}
	data, script := filepath.Join(c.Dir, "data"), filepath.Join(c.Dir, "init.sql")
	if err := os.Mkdir(data, 0o755); err != nil {
		return Config{}, err
	}
	var statements []byte
	for _, s := range c.Init {
		statements = fmt.Appendf(statements, "%s\n", s)
	}
	if err := os.WriteFile(script, statements, 0o600); err != nil {
		return Config{}, err
	}
	if err := chown(mariaDBUser, c.Dir, data, script); err != nil {
		return Config{}, err
	}
	err = runAs(ctx, mariaDBUser, install, "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M")
	if err != nil {
		return Config{}, err
	}
	args := []string{
		"--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(c.Port), "--bind-address=127.0.0.1",
		"--socket=" + filepath.Join(c.Dir, "socket"), "--pid-file=" + filepath.Join(c.Dir, "pid"), "--init-file=" + script,
		"--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=16M",
		"--innodb-log-file-size=8M", "--key-buffer-size=1M", "--max-connections=40", "--skip-name-resolve",
	}
	if c.Certificate != "" {
		key := filepath.Join(c.Dir, "mariadb.key")
		if err := ownCopy(c.Key, key, mariaDBUser); err != nil {
			return Config{}, err
		}
		args = append(args, "--ssl-ca="+c.CA, "--ssl-cert="+c.Certificate, "--ssl-key="+key)
	}
	return Config{
		Name: "mariadbd", Path: program, Args: args, User: mariaDBUser, Dir: c.Dir, Ready: Listening(c.Address()),
	}, nil
}

// Address is where the server listens.
func (c MariaDBConfig) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port))
}
