package brokers

import (
	"fmt"
	"strconv"
)

// Beanstalkd says how to run a beanstalkd. It has no users and no TLS, and keeps
// its jobs over a restart.
type Beanstalkd struct {
	// Dir is an empty folder for its data; see Folder.
	Dir string
	// Port is on 127.0.0.1.
	Port int
}

// NewBeanstalkd chooses a port for a server with its data in dir.
func NewBeanstalkd(dir string) (Beanstalkd, error) {
	port, err := FreePort()
	return Beanstalkd{Dir: dir, Port: port}, err
}

// Address is where clients connect.
func (b Beanstalkd) Address() string { return fmt.Sprintf("127.0.0.1:%d", b.Port) }

// Config makes the server's configuration for Start.
func (b Beanstalkd) Config() (Config, error) {
	program, err := Find("beanstalkd")
	if err != nil {
		return Config{}, err
	}
	return Config{
		Name: "beanstalkd", Path: program, Dir: b.Dir, Ready: Listening(b.Address()),
		// Each job is on the disk before it is confirmed.
		Args: []string{"-l", "127.0.0.1", "-p", strconv.Itoa(b.Port), "-b", b.Dir, "-f", "0"},
	}, nil
}
