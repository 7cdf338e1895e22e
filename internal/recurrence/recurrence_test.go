package recurrence

import (
	"math/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

func written(cron, zone string) v1alpha1.RecurringWindow {
	return v1alpha1.RecurringWindow{Cron: cron, TimeZone: zone, Duration: metav1.Duration{Duration: time.Hour}}
}

func read(t *testing.T, cron, zone string) *Recurrence {
	t.Helper()
	r, err := Parse(written(cron, zone))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// openings lists the next openings in the zone's own time.
func openings(r *Recurrence, after time.Time, n int) []string {
	var out []string
	for ; n > 0; n-- {
		after = r.next(after)
		out = append(out, after.In(r.zone).Format("2006-01-02 15:04 -0700"))
	}
	return out
}

func TestOpenings(t *testing.T) {
	tests := map[string]struct {
		cron, zone, after string
		want              []string
	}{
		"every working day": {"0 8 * * MON-FRI", "Europe/Berlin", "2026-10-02T12:00:00Z",
			[]string{"2026-10-05 08:00 +0200", "2026-10-06 08:00 +0200"}},
		"no zone is UTC": {"30 6 1 * *", "", "2026-10-02T12:00:00Z", []string{"2026-11-01 06:30 +0000"}},
		"clocks go forward over it": {"30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z",
			[]string{"2026-03-28 02:30 +0100", "2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200"}},
		"clocks go forward over two of its times": {"15,45 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29 03:00 +0200", "2026-03-30 02:15 +0200"}},
		"clocks go back over it": {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"}},
		"asked inside the hour that comes twice": {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z",
			[]string{"2026-10-26 02:30 +0100"}},
		"hourly through the hour that comes twice": {"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25 02:00 +0200", "2026-10-25 02:00 +0100", "2026-10-25 03:00 +0100"}},
		"hourly over the hour that is left out": {"0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z",
			[]string{"2026-03-29 03:00 +0200", "2026-03-29 04:00 +0200"}},
		"half an hour is left out":  {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-04 02:30 +1100", "2026-10-05 02:15 +1100"}},
		"midnight does not exist":   {"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", []string{"2018-11-04 01:00 -0200", "2018-11-05 00:00 -0200"}},
		"a whole day is left out":   {"0 12 * * *", "Pacific/Apia", "2011-12-30T00:00:00Z", []string{"2011-12-31 00:00 +1400", "2011-12-31 12:00 +1400"}},
		"February 29":               {"0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"2028-02-29 00:00 +0000"}},
		"an opening is not its own": {"0 8 * * *", "", "2026-10-02T08:00:00Z", []string{"2026-10-03 08:00 +0000"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := openings(read(t, tt.cron, tt.zone), at(t, tt.after), len(tt.want))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("openings (-want +got):\n%s", diff)
			}
		})
	}
}

// stepper finds openings by looking at every minute of a span.
type stepper struct {
	fields [5][]int
	star   [5]bool
	zone   *time.Location
}

func (s *stepper) matches(shown time.Time) bool {
	has := func(field, value int) bool {
		if s.star[field] {
			return true
		}
		for _, v := range s.fields[field] {
			if v == value {
				return true
			}
		}
		return false
	}
	dom, dow := has(2, shown.Day()), has(4, int(shown.Weekday()))
	day := dom && dow
	if !s.star[2] && !s.star[4] {
		day = dom || dow
	}
	return has(0, shown.Minute()) && has(1, shown.Hour()) && day && has(3, int(shown.Month()))
}

func (s *stepper) openings(from, to time.Time) []time.Time {
	var out []time.Time
	latest := clocks(from.Add(-48*time.Hour), s.zone)
	for now := from.Add(-48 * time.Hour); !now.After(to); now = now.Add(time.Minute) {
		shown := clocks(now, s.zone)
		opens := false
		if s.star[1] {
			opens = s.matches(shown)
		} else {
			// All that the clocks have come to since the last minute, and not before.
			for w := latest.Add(time.Minute); !w.After(shown); w = w.Add(time.Minute) {
				opens = opens || s.matches(w)
			}
		}
		if shown.After(latest) {
			latest = shown
		}
		if opens && now.After(from) {
			out = append(out, now.UTC())
		}
	}
	return out
}

// randomCron writes a cron and what it means.
func randomCron(r *rand.Rand, zone *time.Location) (string, *stepper) {
	s := &stepper{zone: zone}
	least, most := [5]int{0, 0, 1, 1, 0}, [5]int{59, 23, 31, 12, 6}
	chance := [5]float64{0.05, 0.2, 0.6, 0.7, 0.6}
	parts := make([]string, 5)
	for i := range parts {
		if s.star[i] = r.Float64() < chance[i]; s.star[i] {
			parts[i] = "*"
			continue
		}
		var texts []string
		for range 1 + r.Intn(3) {
			v := least[i] + r.Intn(most[i]-least[i]+1)
			if i == 1 && r.Intn(2) == 0 {
				v = r.Intn(4) // where clocks change
			}
			s.fields[i] = append(s.fields[i], v)
			texts = append(texts, strconv.Itoa(v))
		}
		parts[i] = strings.Join(texts, ",")
	}
	return strings.Join(parts, " "), s
}

// Whatever the cron and the zone, the openings are those that looking at every
// minute finds.
func TestOpeningsAreThoseOfEveryMinute(t *testing.T) {
	// Spans of some days around a change of the clocks.
	places := []struct{ zone, change string }{
		{"Europe/Berlin", "2026-03-29T01:00:00Z"}, {"Europe/Berlin", "2026-10-25T01:00:00Z"},
		{"America/New_York", "2026-03-08T07:00:00Z"}, {"America/New_York", "2026-11-01T06:00:00Z"},
		{"Australia/Lord_Howe", "2026-10-03T15:30:00Z"}, {"Australia/Lord_Howe", "2026-04-04T15:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T03:00:00Z"}, {"America/Sao_Paulo", "2018-02-18T02:00:00Z"},
		{"Pacific/Apia", "2011-12-30T10:00:00Z"}, {"Etc/UTC", "2024-02-29T00:00:00Z"}, {"Asia/Kathmandu", "2026-12-31T18:15:00Z"},
	}
	seed := int64(1)
	for _, place := range places {
		zone, err := time.LoadLocation(place.zone)
		if err != nil {
			t.Fatal(err)
		}
		change := at(t, place.change)
		for range 40 {
			seed++
			text, slow := randomCron(rand.New(rand.NewSource(seed)), zone)
			s, err := Parse(written(text, place.zone))
			if err != nil {
				continue // no such date
			}
			from, to := change.Add(-36*time.Hour), change.Add(60*time.Hour)
			var got []time.Time
			for next := s.next(from); !next.IsZero() && !next.After(to); next = s.next(next) {
				got = append(got, next)
			}
			if diff := cmp.Diff(slow.openings(from, to), got); diff != "" {
				t.Errorf("%q in %s (-every minute +got):\n%s", text, place.zone, diff)
			}
		}
	}
}
