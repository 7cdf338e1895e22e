// Command daemonize is what the supervisor's test runs. As `parent` it asks a supervisor for a daemonizing process
// and waits to be killed; as `fork` it starts a second `fork` in a session of its own and leaves; as `daemon` it
// ignores what it may and stays. Each writes its process number into a file of its folder.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(role string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	switch role {
	case "parent":
		supervise, dir, pids := args[0], args[1], args[2]
		s, err := supervisor.New(supervisor.Config{Program: supervise, Dir: dir, Log: filepath.Join(dir, "supervisor.log")})
		if err != nil {
			return err
		}
		spec := supervisor.Spec{Path: self, Args: []string{"fork", pids}, Log: filepath.Join(dir, "fork.log")}
		if _, err := s.Run(spec); err != nil {
			return err
		}
		if err := record(pids, "supervisor", s.PID()); err != nil {
			return err
		}
	case "fork":
		for _, next := range []string{"daemon", "again"} {
			if err := detach(self, next, args[0]); err != nil {
				return err
			}
		}
		return nil
	case "again":
		return detach(self, "second-daemon", args[0])
	default: // A daemon.
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	if err := record(args[len(args)-1], role, os.Getpid()); err != nil {
		return err
	}
	for {
		time.Sleep(time.Hour)
	}
}

// detach starts this program in a session of its own and does not wait for it.
func detach(self, role, pids string) error {
	cmd := exec.Command(self, role, pids)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

func record(dir, name string, pid int) error {
	unfinished := filepath.Join(dir, "."+name)
	if err := os.WriteFile(unfinished, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, filepath.Join(dir, name))
}
