package shards

import (
	"bytes"
	"compress/flate"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

func unit(name string) decision.Unit {
	return decision.Unit{Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: name, UID: "uid-" + name}
}

func TestEncodeDecode(t *testing.T) {
	tests := map[string][]Record{
		"none": nil,
		"some": {{unit("a"), []byte{1}}, {unit("b"), bytes.Repeat([]byte{7}, 1000)}, {decision.Unit{Name: "cluster"}, []byte("x")}},
	}
	for name, records := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := Encode(records)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Encode(got)
			if err != nil || !bytes.Equal(data, again) {
				t.Errorf("encoded again it is otherwise, %v", err)
			}
			if len(got) != len(records) {
				t.Errorf("%d records, want %d", len(got), len(records))
			}
		})
	}
	one, _ := Encode([]Record{{unit("b"), []byte{1}}, {unit("a"), []byte{2}}})
	other, _ := Encode([]Record{{unit("a"), []byte{2}}, {unit("b"), []byte{1}}})
	if !bytes.Equal(one, other) {
		t.Error("the order of the records matters")
	}
}

func packed(plain []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write(plain)
	_ = w.Close()
	return b.Bytes()
}

func TestDecodeRefuses(t *testing.T) {
	good, err := Encode([]Record{{unit("a"), []byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"nothing":                  nil,
		"not compressed":           []byte("hello"),
		"cut short":                good[:len(good)/2],
		"a bomb":                   packed(make([]byte, 64<<20)),
		"more records than bytes":  packed([]byte{5}),
		"a number beyond bounds":   packed([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}),
		"a length beyond the end":  packed([]byte{1, 0xff, 0x7f}),
		"bytes after the last one": packed([]byte{0, 1}),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := Decode(data); err == nil {
				t.Errorf("gave %v", got)
			}
		})
	}
}

// FuzzDecode reads any bytes, compressed or not: records or an error.
func FuzzDecode(f *testing.F) {
	good, _ := Encode([]Record{{unit("a"), []byte{1}}, {unit("b"), []byte("state")}})
	f.Add(good, false)
	f.Add([]byte{2, 0, 0, 1, 'a', 0, 1, 1, 0, 0, 1, 'b', 0, 1, 1}, true)
	f.Add([]byte{1, 0xff, 0xff, 0x7f}, true)
	f.Fuzz(func(t *testing.T, data []byte, compress bool) {
		if compress {
			data = packed(data)
		}
		records, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(records)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("%d records do not survive: %v", len(records), err)
		}
	})
}

// TestPlaceStays holds the places of units: other ones would lose the shards that
// are written already.
func TestPlaceStays(t *testing.T) {
	got := map[string][]int{}
	for _, name := range []string{"web", "api", "worker"} {
		for _, n := range []int{1, 2, 16, 1024} {
			got[name] = append(got[name], Place(unit(name), n))
		}
	}
	want := map[string][]int{"api": {0, 1, 15, 127}, "web": {0, 0, 8, 568}, "worker": {0, 1, 11, 891}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	other := unit("web")
	other.UID = "another"
	if Place(other, 1024) != Place(unit("web"), 1024) {
		t.Error("the place goes by the UID")
	}
	filled := make([]int, 16)
	for i := range 1600 {
		filled[Place(unit(fmt.Sprintf("hpa-%04d", i)), 16)]++
	}
	for i, n := range filled {
		if n < 50 || n > 200 {
			t.Errorf("shard %d has %d of 1600 units: %v", i, n, filled)
		}
	}
}
