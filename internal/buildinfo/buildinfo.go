// Package buildinfo says which build of the suite is running: a version set by
// the linker, or what the Go toolchain recorded. Logs, metrics, the ledger and
// explain all print this one. It is not a place for feature switches.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// Version is the release, set with
// -ldflags "-X github.com/quartet-autoscaling/quartet/internal/buildinfo.Version=v1.2.3".
// It is empty in a build without that flag; use Get.
var Version string

// Info identifies a build.
type Info struct {
	// Version is a release such as v0.1.0, or "devel".
	Version string `json:"version"`
	// Commit is the revision built from, empty where the build did not record it.
	Commit string `json:"commit,omitempty"`
	// Modified tells that the checkout held uncommitted changes.
	Modified bool `json:"modified,omitempty"`
	// GoVersion and Platform are the toolchain's, for example go1.26.0 and linux/amd64.
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// Get gives the identity of the running build. It never changes during a run.
var Get = sync.OnceValue(func() Info {
	recorded, _ := debug.ReadBuildInfo()
	return read(Version, recorded)
})

// read fills what the linker did not set from what the toolchain recorded.
// recorded may be nil.
func read(version string, recorded *debug.BuildInfo) Info {
	info := Info{
		Version:   version,
		GoVersion: runtime.Version(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
	}
	if recorded != nil {
		if info.Version == "" && recorded.Main.Version != "(devel)" {
			info.Version = recorded.Main.Version
		}
		for _, setting := range recorded.Settings {
			switch setting.Key {
			case "vcs.revision":
				info.Commit = setting.Value
			case "vcs.modified":
				info.Modified = setting.Value == "true"
			}
		}
	}
	if info.Version == "" {
		info.Version = "devel"
	}
	return info
}

// String is one line for --version, for example
// "v0.1.0 (commit 1f3a5c7d9e0b, go1.26.0, linux/amd64)".
func (i Info) String() string {
	commit := ""
	if i.Commit != "" {
		commit = "commit " + i.Commit[:min(12, len(i.Commit))]
		if i.Modified {
			commit += " with changes"
		}
		commit += ", "
	}
	return fmt.Sprintf("%s (%s%s, %s)", i.Version, commit, i.GoVersion, i.Platform)
}
