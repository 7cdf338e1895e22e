package httpsource

import (
	"errors"
	"math"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/google/go-cmp/cmp"
)

func TestParseSelector(t *testing.T) {
	for text, want := range map[string]struct {
		series series
		err    error
	}{
		`queue_depth`:            {series{name: "queue_depth"}, nil},
		` queue_depth { } `:      {series{name: "queue_depth"}, nil},
		`a:b{queue="orders"}`:    {series{"a:b", []label{{"queue", "orders"}}}, nil},
		`a{ x = "1" , y="2" , }`: {series{"a", []label{{"x", "1"}, {"y", "2"}}}, nil},
		`a{x="\\ \" \n , } {"}`:  {series{"a", []label{{"x", "\\ \" \n , } {"}}}, nil},
		`a{x="größe"}`:           {series{"a", []label{{"x", "größe"}}}, nil},
		`{"queue.depth",x="1"}`:  {series{"queue.depth", []label{{"x", "1"}}}, nil},
		`{x="1","queue.depth"}`:  {series{"queue.depth", []label{{"x", "1"}}}, nil},
		`a{"x.y"="1"}`:           {series{"a", []label{{"x.y", "1"}}}, nil},
		``:                       {series{}, errName},
		`{}`:                     {series{}, errName},
		`{x="1"}`:                {series{}, errName},
		`1a`:                     {series{}, errName},
		`a b`:                    {series{}, errTrailing},
		`a{} 1`:                  {series{}, errTrailing},
		`a{`:                     {series{}, errBrace},
		`a{x="1"`:                {series{}, errBrace},
		`a{x="1" y="2"}`:         {series{}, errBrace},
		`a{,}`:                   {series{}, errLabel},
		`a{x}`:                   {series{}, errLabel},
		`a{x=1}`:                 {series{}, errLabel},
		`a{x!="1"}`:              {series{}, errLabel},
		`a{x=~"1"}`:              {series{}, errLabel},
		`a{"b"}`:                 {series{}, errLabel},
		`a{x:y="1"}`:             {series{}, errLabel},
		`a{x="1",x="2"}`:         {series{}, errTwice},
		`a{x="1`:                 {series{}, errQuote},
		`a{x="1\`:                {series{}, errQuote},
		`a{x="1\"}`:              {series{}, errQuote},
		`a{x="\t"}`:              {series{}, errEscape},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := parseSelector(text)
			if !errors.Is(err, want.err) {
				t.Fatalf("got error %v, want %v", err, want.err)
			}
			if diff := cmp.Diff(want.series, got, cmp.AllowUnexported(series{}, label{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseLine(t *testing.T) {
	for text, want := range map[string]struct {
		value float64
		time  string
		err   error
	}{
		`a 1`:                               {1, "", nil},
		"a\t1.5e3\t1700000000000":           {1500, "1700000000000", nil},
		`a{x="1"}-2 1700000000.5`:           {-2, "1700000000.5", nil},
		`a +Inf`:                            {math.Inf(1), "", nil},
		`a_total 7 # {trace="x y"} 0.5`:     {7, "", nil},
		`a_total 7 12 # {trace="x"} 0.5 11`: {7, "12", nil},
		`a`:                                 {0, "", errValue},
		`a one`:                             {0, "", errValue},
		`a 0x10`:                            {0, "", errValue},
		`a 1_000`:                           {0, "", errValue},
		`a 1e999`:                           {0, "", errValue},
		`a 1 now`:                           {0, "", errTime},
		`a 1 2 3`:                           {0, "", errTrailing},
		`<html>`:                            {0, "", errName},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := parseLine(text, nil)
			if !errors.Is(err, want.err) {
				t.Fatalf("got error %v, want %v", err, want.err)
			}
			if err == nil && (got.value != want.value || got.time != want.time) {
				t.Errorf("got %v at %q, want %v at %q", got.value, got.time, want.value, want.time)
			}
		})
	}
}

// FuzzSelector writes what was read and reads it again.
func FuzzSelector(f *testing.F) {
	for _, seed := range []string{`a`, `a{x="1"}`, `{"a.b",x="\n\\\""}`, `a{"x y"="1",}`} {
		f.Add(seed)
	}
	escaper := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSelector(text)
		if err != nil {
			return
		}
		written := `{"` + escaper.Replace(s.name) + `"`
		for _, l := range s.labels {
			written += `,"` + escaper.Replace(l.name) + `"="` + escaper.Replace(l.value) + `"`
		}
		again, err := parseSelector(written + "}")
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if !again.matches(s) || !s.matches(again) || len(again.labels) != len(s.labels) {
			t.Errorf("read %q as %v, and written as %s as %v", text, s, written, again)
		}
	})
}

// FuzzLine holds our reading of a line to that of Prometheus' own library: what it
// takes for one sample we read as the same.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{`a 1`, `a{x="1",} +Inf 5`, `a{x="\n"}NaN`, `a{x="}"} 1e5`, ` a { x = "1" } 2`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ours, err := parseLine(text, nil)
		theirs, ok := byLibrary(text)
		if !ok {
			return
		}
		if err != nil {
			t.Fatalf("%q is %v, and ours says %v", text, theirs, err)
		}
		value := theirs.GetUntyped().GetValue()
		if ours.value != value && !(math.IsNaN(ours.value) && math.IsNaN(value)) {
			t.Errorf("%q has %v, and ours says %v", text, value, ours.value)
		}
		for _, pair := range theirs.GetLabel() {
			if got, _ := ours.label(pair.GetName()); got != pair.GetValue() {
				t.Errorf("%q has label %s=%q, and ours says %q", text, pair.GetName(), pair.GetValue(), got)
			}
		}
		if len(ours.labels) != len(theirs.GetLabel()) {
			t.Errorf("%q has labels %v, and ours says %v", text, theirs.GetLabel(), ours.labels)
		}
	})
}

// byLibrary gives the one sample of a line.
func byLibrary(text string) (*dto.Metric, bool) {
	// A comment is none of a line's, and Go's own forms of numbers are not ours.
	if strings.ContainsAny(text, "#\r\n_xXpP") {
		return nil, false
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text + "\n"))
	if err != nil || len(families) != 1 {
		return nil, false
	}
	for _, family := range families {
		if len(family.GetMetric()) == 1 {
			return family.GetMetric()[0], true
		}
	}
	return nil, false
}
