package buildinfo

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	revision := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "1f3a5c7d9e0b2a4c6e8f"},
		{Key: "vcs.modified", Value: "true"},
	}
	tests := map[string]struct {
		version  string
		recorded *debug.BuildInfo
		want     Info
	}{
		"the linker's version wins over the recorded one": {
			version:  "v1.2.3",
			recorded: &debug.BuildInfo{Main: debug.Module{Version: "v9.9.9"}},
			want:     Info{Version: "v1.2.3"},
		},
		"the recorded version is the fallback": {
			recorded: &debug.BuildInfo{Main: debug.Module{Version: "v0.4.0"}, Settings: revision},
			want:     Info{Version: "v0.4.0", Commit: "1f3a5c7d9e0b2a4c6e8f", Modified: true},
		},
		"a checkout without a version is devel": {
			recorded: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want:     Info{Version: "devel"},
		},
		"nothing recorded is devel": {want: Info{Version: "devel"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.want.GoVersion, tc.want.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
			if diff := cmp.Diff(tc.want, read(tc.version, tc.recorded)); diff != "" {
				t.Errorf("read() -want +got:\n%s", diff)
			}
		})
	}
}

func TestString(t *testing.T) {
	info := Info{Version: "v1.0.0", Commit: "1f3a5c7d9e0b2a4c6e8f", Modified: true, GoVersion: "go1.26.0", Platform: "linux/arm64"}
	want := "v1.0.0 (commit 1f3a5c7d9e0b with changes, go1.26.0, linux/arm64)"
	if got := info.String(); got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}
