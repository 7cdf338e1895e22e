package runtimes

import (
	"math/big"
	"strings"
)

// The units of the two grammars, the smallest first; each is 1024 of the one
// before.
var (
	goUnits  = []string{"B", "KiB", "MiB", "GiB", "TiB"}
	jvmUnits = []string{"", "k", "m", "g", "t"}
)

// precise is the least number that may stand before a unit where the value is not
// a whole number of it: what is cut off is then less than one percent.
const precise = 128

// Scale gives a setting's text after its container's memory limit moved, both in
// bytes: the same share of the limit, rounded down. False where there is nothing
// to change, and where the setting has no number or either limit is not positive.
func (s Setting) Scale(from, to int64) (string, bool) {
	if from <= 0 || to <= 0 || from == to {
		return "", false
	}
	flag, digits, unit := split(s.Text)
	units, spelled := jvmUnits, strings.ToLower(unit)
	if flag == "" {
		units, spelled = goUnits, unit
	}
	n, ok := new(big.Int).SetString(digits, 10)
	scale := index(units, spelled)
	if !ok || scale < 0 || n.Sign() == 0 {
		return "", false
	}
	n.Lsh(n, uint(10*scale))
	n.Mul(n, big.NewInt(to)).Div(n, big.NewInt(from))
	if n.Sign() == 0 {
		return "", false
	}
	for ; scale > 0; scale-- {
		whole, rest := new(big.Int).DivMod(n, new(big.Int).Lsh(big.NewInt(1), uint(10*scale)), new(big.Int))
		if rest.Sign() == 0 || whole.Cmp(big.NewInt(precise)) >= 0 {
			n = whole
			break
		}
	}
	text := flag + n.String() + spell(units[scale], unit)
	return text, text != s.Text
}

// split gives what comes before the number, the number and the unit.
func split(text string) (flag, digits, unit string) {
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return text, "", ""
	}
	end := start
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	return text[:start], text[start:end], text[end:]
}

func index(units []string, unit string) int {
	if unit == "" {
		return 0
	}
	for i, u := range units {
		if u == unit {
			return i
		}
	}
	return -1
}

// spell writes a unit as the one before was: in capitals, or left away.
func spell(unit, before string) string {
	switch {
	case before == "" && unit == "B":
		return ""
	case before != "" && strings.ToUpper(before) == before && len(before) == 1:
		return strings.ToUpper(unit)
	}
	return unit
}

// Replacement is a part of a string to be replaced.
type Replacement struct {
	Offset   int
	From, To string
}

// Rewrite replaces parts of a string, which are ordered by offset and do not
// overlap. False where a part is not there, and the string is then unchanged.
func Rewrite(text string, parts []Replacement) (string, bool) {
	var b strings.Builder
	at := 0
	for _, p := range parts {
		if p.Offset < at || p.Offset > len(text) || !strings.HasPrefix(text[p.Offset:], p.From) {
			return text, false
		}
		b.WriteString(text[at:p.Offset])
		b.WriteString(p.To)
		at = p.Offset + len(p.From)
	}
	b.WriteString(text[at:])
	return b.String(), true
}
