package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// moduleFile is a file of a module, in the version that go.mod requires: so that
// it is never another version's than the code is built with.
type moduleFile struct{ module, path string }

// copyTo copies the file, under its own name, into a folder.
func (f *moduleFile) copyTo(ctx context.Context, dir string) error {
	root, err := moduleDir(ctx, f.module)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(f.path)))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filepath.Base(f.path)), content, 0o644)
	}
	if err != nil {
		return fmt.Errorf("copy %s of module %s: %w", f.path, f.module, err)
	}
	return nil
}

// moduleDir is where the go command has the module; it fetches it where needed.
func moduleDir(ctx context.Context, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Stderr = os.Stderr
	out, runErr := cmd.Output()
	var found struct{ Dir, Error string }
	if err := json.Unmarshal(out, &found); err != nil {
		return "", fmt.Errorf("find module %s: %w", module, errors.Join(runErr, err))
	}
	if found.Error != "" || found.Dir == "" {
		return "", fmt.Errorf("find module %s: %s", module, found.Error)
	}
	return found.Dir, nil
}
