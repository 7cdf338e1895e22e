package expander

import "testing"

func TestLeastWaste(t *testing.T) {
	option := func(pool string, nodes, pods int, offered, used int64) Option {
		return Option{Pool: pool, Nodes: nodes, Pods: pods, Offered: Amount{CPU: offered, Memory: offered}, Used: Amount{CPU: used, Memory: used}}
	}
	cases := map[string]struct {
		options []Option
		want    int
	}{
		"none":                    {nil, -1},
		"the fuller one":          {[]Option{option("a", 1, 1, 8000, 1000), option("b", 1, 1, 2000, 1000)}, 1},
		"of equals more pods":     {[]Option{option("a", 1, 1, 10, 5), option("b", 2, 2, 20, 10)}, 1},
		"then fewer nodes":        {[]Option{option("a", 2, 2, 20, 10), option("b", 1, 2, 20, 10)}, 1},
		"then the name":           {[]Option{option("b", 1, 1, 10, 5), option("a", 1, 1, 10, 5)}, 1},
		"nothing is offered":      {[]Option{option("a", 1, 1, 0, 0), option("b", 1, 1, 10, 5)}, 0},
		"more used than there is": {[]Option{option("a", 1, 1, 10, 20), option("b", 1, 1, 10, 9)}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := LeastWaste(c.options); got != c.want {
				t.Errorf("LeastWaste() = %d, want %d", got, c.want)
			}
		})
	}
}
