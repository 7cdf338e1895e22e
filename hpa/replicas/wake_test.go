package replicas

import (
	"testing"
	"time"
)

func TestNextChange(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	minute, none := time.Minute, time.Duration(0)
	tests := map[string]struct {
		policy *Policy
		config Config
		state  State
		want   time.Time
	}{
		"nothing": {state: State{LastUp: in(-time.Second), MetricsLostAt: in(-time.Second)}},
		"a window opens": {policy: &Policy{Windows: []Window{{Opens: in(-time.Hour), Closes: in(time.Hour)},
			{Opens: in(time.Minute), Closes: in(2 * time.Hour)}}}, want: in(time.Minute)},
		"a window closes":      {policy: &Policy{Windows: []Window{{Opens: now, Closes: in(time.Hour)}}}, want: in(time.Hour)},
		"a pause ends":         {policy: &Policy{Pause: &Pause{Until: in(time.Second)}}, want: in(time.Second)},
		"a pause has ended":    {policy: &Policy{Pause: &Pause{Until: now}}},
		"a pause has no end":   {policy: &Policy{Pause: &Pause{}}},
		"a delay of the flags": {config: Config{UpscaleDelay: minute}, state: State{LastUp: in(-time.Second)}, want: in(59 * time.Second)},
		"a delay of the policy": {policy: &Policy{DownscaleDelay: &minute}, config: Config{DownscaleDelay: time.Hour},
			state: State{LastDown: in(-time.Second)}, want: in(59 * time.Second)},
		"the policy has no delay": {policy: &Policy{UpscaleDelay: &none}, config: Config{UpscaleDelay: time.Hour}, state: State{LastUp: in(-time.Second)}},
		"a fallback begins": {policy: &Policy{Fallback: &Fallback{After: minute}}, state: State{MetricsLostAt: in(-time.Second)},
			want: in(59 * time.Second)},
		"the first of several": {policy: &Policy{Pause: &Pause{Until: in(time.Hour)}, DownscaleDelay: &minute},
			state: State{LastDown: in(-time.Second)}, want: in(59 * time.Second)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := NextChange(tt.policy, tt.config, tt.state, now); !got.Equal(tt.want) {
				t.Errorf("the next change is at %s, want %s", got, tt.want)
			}
		})
	}
}
