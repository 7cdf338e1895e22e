package redis

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// decoded makes a reply of JSON, whose whole numbers are a reply's integers.
func decoded(raw []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	return integers(v), true
}

func integers(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return v.String()
		}
		return n
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
		return v
	}
	return v
}

// FuzzReplies feeds any reply to all that read one: it is refused, or the
// reading that is made of it has numbers that can be, or none.
func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		`["length",3,"entries-added",9]`,
		`[["name","workers","consumers",1,"pending",2,"last-delivered-id","5-0","entries-read",6,"lag",3]]`,
		`[["name","workers","pending",2,"last-delivered-id","5-0","entries-read",null,"lag",null]]`,
		`[["name","workers","pending",-2,"last-delivered-id","5"]]`,
		`[2,"1-0","5-0",[["one","2"]]]`, `[0,null,null,null]`, `[["1-0",["n","1"]]]`,
		`[[0,5460,["127.0.0.1",7000,"id"]]]`, `[[0,5460,[null,7000]]]`, `["1700000000","5"]`,
		`"run_id:abc\r\nrole:master\r\n"`, `[]`, `null`, `[[]]`, `[["name"]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		reply, ok := decoded(raw)
		if !ok {
			return
		}
		if who, err := parseServer(reply); err != nil && who != (server{}) {
			t.Fatalf("a reply that was refused tells %+v", who)
		}
		if at, err := parseTime(reply); err == nil && (at.Year() < 1970 || at.Year() > 100000) {
			t.Fatalf("the time is %s", at)
		}
		if owner, err := ownerOf(1, reply); err == nil && owner == ":" {
			t.Fatal("an owner without a port")
		}
		if id, found, err := parseOldestPending(reply); err == nil && found && id.age(time.Unix(1, 0)) < 0 {
			t.Fatalf("%s has a negative age", id)
		}
		ids, _ := parseIDs(reply)
		s, err := parseStream(reply)
		if err != nil {
			s = stream{length: 7}
		}
		g, found, err := parseGroup(reply, "workers")
		if err != nil || !found {
			return
		}
		v := newView(s, g)
		if v.waiting == nil {
			v.count(ids, ids, 2)
		}
		for kind, gauge := range v.reading("run", time.Unix(1, 0), 0).Gauges {
			if gauge.Presence == query.Number && gauge.Value < 0 {
				t.Fatalf("%s is %+v", kind, gauge)
			}
		}
	})
}

// FuzzFrames feeds any bytes, whole and one by one, with one outcome; nothing
// that passes is nested deeper than it may be.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n", "-ERR no\r\n:5\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*2\r\n:1\r\n*1\r\n$0\r\n\r\n", "*0\r\n+OK\r\n",
		"*-1\r\n", "$99999999999\r\n", "*70000\r\n", "HTTP/1.1 400\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var whole, single frames
		err := whole.feed(raw)
		var one error
		for i := 0; i < len(raw) && one == nil; i++ {
			one = single.feed(raw[i : i+1])
		}
		if (err == nil) != (one == nil) || (err != nil && !errors.Is(err, errGuard)) {
			t.Fatalf("whole: %v, one by one: %v", err, one)
		}
		if err == nil && (len(whole.open) > maxDepth || whole.skip > maxReplyBytes+2) {
			t.Fatalf("let through: %+v", whole)
		}
	})
}

func TestFrames(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		bad  bool
		left frames
	}{
		"whole replies":           {in: "+OK\r\n*2\r\n:1\r\n$3\r\na\r\n\r\n"},
		"a list within a list":    {in: "*1\r\n*2\r\n:1\r\n:2\r\n+OK\r\n"},
		"an empty list in a list": {in: "*2\r\n*0\r\n$-1\r\n"},
		"half a list":             {in: "*2\r\n:1\r\n", left: frames{open: []int{1}}},
		"half a text":             {in: "$5\r\nab", left: frames{skip: 5}},
		"a long text":             {in: "$16777217\r\n", bad: true},
		"many elements":           {in: "*65537\r\n", bad: true},
		"no number":               {in: "$abc\r\n", bad: true},
		"an empty line":           {in: "\r\n", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			var f frames
			if err := f.feed([]byte(test.in)); (err != nil) != test.bad {
				t.Fatalf("got %v", err)
			}
			if test.bad {
				return
			}
			if diff := cmp.Diff(test.left.open, f.open); len(f.open)+len(test.left.open) > 0 && diff != "" {
				t.Errorf("open (-want +got):\n%s", diff)
			}
			if f.skip != test.left.skip {
				t.Errorf("skips %d, want %d", f.skip, test.left.skip)
			}
		})
	}
}

// TestOldServers is about replies of versions that no test here can run.
func TestOldServers(t *testing.T) {
	six, _ := decoded([]byte(`[["name","workers","consumers",1,"pending",2,"last-delivered-id","5-0"]]`))
	g, _, err := parseGroup(six, "workers")
	if err != nil {
		t.Fatal(err)
	}
	length, _ := decoded([]byte(`["length",300]`))
	s, err := parseStream(length)
	if err != nil {
		t.Fatal(err)
	}
	r := newView(s, g).reading("run", time.Unix(1, 0), 0)
	want := query.Reading{
		At: time.Unix(1, 0), Epoch: "run",
		Gauges: map[query.Kind]query.Gauge{query.Pending: {Presence: query.Empty}, query.AckPending: query.NumberOf(2)},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("Redis 6 tells no lag and counts nothing (-want +got):\n%s", diff)
	}
}
