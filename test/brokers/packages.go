package brokers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Packages maps each server program to Debian's package that has it.
func Packages() map[string]string {
	return map[string]string{
		"redis-server":    "redis-server",
		"rabbitmq-server": "rabbitmq-server",
		"postgres":        "postgresql",
		"mariadbd":        "mariadb-server",
		"beanstalkd":      "beanstalkd",
		"prometheus":      "prometheus",
	}
}

// folders are where Debian keeps servers that are not on everyone's path; of the
// versions of PostgreSQL the newest is taken.
func folders() []string {
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is good
	slices.Sort(versions)
	slices.Reverse(versions)
	return append([]string{"/usr/sbin", "/sbin", "/usr/lib/rabbitmq/bin"}, versions...)
}

// MissingError says which package has a program that is not there.
type MissingError struct{ Program, Package string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: install the system's package %s (as root, `make test` does)", e.Program, e.Package)
}

// Find gives the path of a server's program, or of one that comes with a server,
// or a *MissingError.
func Find(program string) (string, error) {
	for _, folder := range folders() {
		path := filepath.Join(folder, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return "", &MissingError{Program: program, Package: Packages()[program]}
}

// Missing are the packages of the programs that are not there, sorted.
func Missing() []string {
	var missing []string
	for program, name := range Packages() {
		if _, err := Find(program); err != nil {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}

// Required tells whether a missing server is a failure and not a reason to skip:
// where the environment says that this is continuous integration.
func Required() bool {
	v := strings.ToLower(os.Getenv("CI"))
	return v != "" && v != "false" && v != "0"
}
