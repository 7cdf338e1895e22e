package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/quartet-autoscaling/quartet/test/brokers"
)

// policyFile tells Debian's packages whether they may start their service when
// they are installed. Code 101 is no.
const policyFile = "/usr/sbin/policy-rc.d"

// installServers installs the servers that are missing, or says why not. It is an
// error only where the environment says that all of them have to be there.
func installServers(ctx context.Context) error {
	missing := brokers.Missing()
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	err := install(ctx, missing)
	switch {
	case err == nil:
		fmt.Fprintln(os.Stderr, "prepare: installed", names)
		return nil
	case brokers.Required():
		return fmt.Errorf("installing %s: %w", names, err)
	}
	fmt.Fprintf(os.Stderr, "prepare: tests of these servers will be skipped: %s (%v)\n", names, err)
	return nil
}

func install(ctx context.Context, packages []string) error {
	if os.Getuid() != 0 {
		return errors.New("only root can install packages")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("this system has no apt-get")
	}
	forbidden, err := forbidStarting()
	if err != nil {
		return err
	}
	defer forbidden()
	fmt.Fprintln(os.Stderr, "prepare: installing", strings.Join(packages, " "))
	arguments := append([]string{"install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"}, packages...)
	if aptGet(ctx, arguments...) == nil {
		return nil
	}
	// The lists of packages may be old or not there at all.
	if err := aptGet(ctx, "update", "-q"); err != nil {
		return err
	}
	return aptGet(ctx, arguments...)
}

// forbidStarting keeps packages from starting their services until the returned
// function is called: tests start servers of their own.
func forbidStarting() (undo func(), err error) {
	file, err := os.OpenFile(policyFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil // the system has a policy, and it stays
	}
	if err != nil {
		return nil, fmt.Errorf("keeping packages from starting services: %w", err)
	}
	_, err = file.WriteString("#!/bin/sh\nexit 101\n")
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(policyFile))
	}
	return func() {
		if err := os.Remove(policyFile); err != nil {
			fmt.Fprintln(os.Stderr, "prepare:", err)
		}
	}, nil
}

// aptGet runs apt-get and gives the end of what it wrote where it failed.
func aptGet(ctx context.Context, arguments ...string) error {
	const shown = 2 << 10
	command := exec.CommandContext(ctx, "apt-get", arguments...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		text := output.Bytes()
		return fmt.Errorf("apt-get %s: %w\n%s", arguments[0], err, text[max(0, len(text)-shown):])
	}
	return nil
}
