package controller

import (
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// Values of all objects together are written at a bounded rate, however many
// objects there are.
func TestValuesPause(t *testing.T) {
	for name, test := range map[string]struct {
		objects int
		want    time.Duration
	}{
		"few":      {3, 10 * time.Second},
		"a bit":    {100, 10 * time.Second},
		"thousand": {5000, 500 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := &statusWriter{wanted: map[types.NamespacedName]*query.Decision{}}
			for i := range test.objects {
				w.wanted[types.NamespacedName{Name: strconv.Itoa(i)}] = &query.Decision{}
			}
			if got := w.valuesPause(); got != test.want {
				t.Errorf("%v between two writes of one of %d objects, want %v", got, test.objects, test.want)
			}
		})
	}
}
