package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/recurrence"
)

func written(cron, zone string, open time.Duration) v1alpha1.ReplicaSchedule {
	ten := int32(10)
	return v1alpha1.ReplicaSchedule{
		Name:            "night",
		RecurringWindow: v1alpha1.RecurringWindow{Cron: cron, TimeZone: zone, Duration: metav1.Duration{Duration: open}},
		MinReplicas:     &ten,
	}
}

func read(t *testing.T, cron, zone string, open time.Duration) *Schedule {
	t.Helper()
	s, err := Parse(written(cron, zone, open))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestErrorsNameTheScheduleAndTheRemedy(t *testing.T) {
	tests := map[string]struct {
		schedule v1alpha1.ReplicaSchedule
		want     []string
	}{
		"minute":        {written("61 8 * * *", "", time.Hour), []string{`"night"`, `cron "61 8 * * *" cannot be read`, "such as 0 8"}},
		"fields":        {written("0 8 * *", "", time.Hour), []string{`"night"`, "use five fields"}},
		"zone in front": {written("TZ=UTC 0 8 * * *", "", time.Hour), []string{`"night"`, "goes to timeZone"}},
		"a name":        {written("@daily", "", time.Hour), []string{`"night"`, "use five fields"}},
		"last of month": {written("0 0 L * *", "", time.Hour), []string{`"night"`, "use five fields"}},
		"zone":          {written("0 8 * * *", "Mars/Phobos", time.Hour), []string{`"night"`, `timeZone "Mars/Phobos" cannot be read`, "Europe/Berlin"}},
		"local zone":    {written("0 8 * * *", "Local", time.Hour), []string{`"night"`, "depends on the machine"}},
		"no such date":  {written("0 0 30 2 *", "", time.Hour), []string{`"night"`, "never opens", "correct its day of month"}},
		"no time":       {written("0 8 * * *", "", 0), []string{`"night"`, "from 1m to 168h"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tt.schedule)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not tell %q", err, want)
				}
			}
		})
	}
}

func TestWindows(t *testing.T) {
	s := written("0 8 * * *", "Europe/Berlin", 10*time.Hour)
	s.RampUp, s.RampDown = &metav1.Duration{Duration: 30 * time.Minute}, &metav1.Duration{Duration: time.Hour}
	daily, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	ten := int32(10)
	window := func(opens string) replicas.Window {
		o := at(t, opens)
		return replicas.Window{
			Name: "night", Opens: o, Closes: o.Add(10 * time.Hour), Min: &ten, RampUp: 30 * time.Minute, RampDown: time.Hour,
		}
	}
	today, tomorrow := window("2026-07-01T06:00:00Z"), window("2026-07-02T06:00:00Z")
	tests := map[string]struct {
		now  string
		want []replicas.Window
		next string
	}{
		"before":  {"2026-07-01T05:59:59Z", []replicas.Window{today}, "2026-07-01T06:00:00Z"},
		"opening": {"2026-07-01T06:00:00Z", []replicas.Window{today, tomorrow}, "2026-07-01T16:00:00Z"},
		"open":    {"2026-07-01T15:59:59Z", []replicas.Window{today, tomorrow}, "2026-07-01T16:00:00Z"},
		"closing": {"2026-07-01T16:00:00Z", []replicas.Window{tomorrow}, "2026-07-02T06:00:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := at(t, tt.now)
			got := daily.Windows(now)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("windows (-want +got):\n%s", diff)
			}
			if next := Next(got, now); !next.Equal(at(t, tt.next)) {
				t.Errorf("the next change is at %s, want %s", next, tt.next)
			}
		})
	}
}

func TestOfManyOpenWindowsTheLastAreGiven(t *testing.T) {
	s := read(t, "* * * * *", "", 168*time.Hour)
	now := at(t, "2026-07-01T06:00:30Z")
	got := s.Windows(now)
	if len(got) != recurrence.MostOpen+1 {
		t.Fatalf("%d windows", len(got))
	}
	if last := got[recurrence.MostOpen-1].Opens; !last.Equal(at(t, "2026-07-01T06:00:00Z")) {
		t.Errorf("the last that is open opened at %s", last)
	}
}

func TestResolveOrdersByOpeningAndName(t *testing.T) {
	now := at(t, "2026-07-01T06:30:00Z")
	var all []*Schedule
	for _, name := range []string{"c", "a", "b"} {
		s := written("0 6 * * *", "", time.Hour)
		if s.Name = name; name == "b" {
			s.Cron = "0 5 * * *"
			s.Duration.Duration = 2 * time.Hour
		}
		parsed, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parsed)
	}
	var got []string
	for _, w := range Resolve(all, now) {
		got = append(got, w.Name+" "+w.Opens.Format("02 15"))
	}
	if diff := cmp.Diff([]string{"b 01 05", "a 01 06", "c 01 06", "b 02 05", "a 02 06", "c 02 06"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// No text makes it panic, hang, or give windows that are out of order.
func FuzzParse(f *testing.F) {
	for _, seed := range []struct{ cron, zone string }{
		{"0 8 * * MON-FRI", "Europe/Berlin"}, {"*/5 0-6/2 1,15 * ?", "Etc/UTC"}, {"0 0 30 2 *", ""}, {"TZ=0", "Local"},
		{"0 0 L * 7", "../../etc/passwd"}, {"@every 1s", "UTC"}, {"30 2 29 2 0", "Australia/Lord_Howe"},
	} {
		f.Add(seed.cron, seed.zone, int64(time.Hour), int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, cron, zone string, open, seconds int64) {
		s, err := Parse(written(cron, zone, time.Duration(open)%(168*time.Hour)))
		if err != nil {
			if !strings.HasPrefix(err.Error(), `schedule "night": `) {
				t.Errorf("the error %q does not name the schedule", err)
			}
			return
		}
		now := time.Unix(seconds%4_000_000_000, 0).UTC()
		windows := s.Windows(now)
		for i, w := range windows {
			if open := !w.Opens.After(now); open && !w.Closes.After(now) || !open && i != len(windows)-1 {
				t.Errorf("at %s window %d of %d is %s to %s", now, i, len(windows), w.Opens, w.Closes)
			}
			if i > 0 && !w.Opens.After(windows[i-1].Opens) {
				t.Errorf("windows %s and %s are out of order", windows[i-1].Opens, w.Opens)
			}
		}
	})
}
