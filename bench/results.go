package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// result is one figure. Upstream and Ratio stand only where a peer ran in the
// same run; a ratio over 1 means that ours is better.
type result struct {
	Name     string   `json:"name"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit"`
	Upstream *float64 `json:"upstream,omitempty"`
	Ratio    *float64 `json:"ratio,omitempty"`
}

func (r result) text() string {
	s := fmt.Sprintf("%.4g %s", r.Value, r.Unit)
	if r.Upstream != nil && r.Ratio != nil {
		s += fmt.Sprintf(" (upstream %.4g, ratio %.2f)", *r.Upstream, *r.Ratio)
	}
	return s
}

func readResults(path string) ([]result, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last results: %w", err)
	}
	var out []result
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("read the last results in %s: %w", path, err)
	}
	return out, nil
}

// merge replaces the result of the same name, and keeps names in order.
func merge(known []result, r result) []result {
	out := slices.DeleteFunc(slices.Clone(known), func(k result) bool { return k.Name == r.Name })
	out = append(out, r)
	slices.SortFunc(out, func(a, b result) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func writeResults(path string, results []result) error {
	raw, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the results: %w", err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

func writeDocument(path string, results []result, m machine) error {
	if err := os.WriteFile(path, []byte(document(results, m)), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// document renders the results as Markdown.
func document(results []result, m machine) string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	b.WriteString("Written by `make bench`; `make bench ARGS=\"--only NAME\"` measures one again. Shared machines are noisy: these\n")
	b.WriteString("are medians of one run, worth comparing as ratios within a run, not between machines.\n\n")
	fmt.Fprintf(&b, "Machine: %s.\n\n", m)
	b.WriteString(hpaMethod)
	b.WriteString(vpaMethod)
	b.WriteString("| benchmark | what it measures | ours | upstream | ratio |\n|---|---|---:|---:|---:|\n")
	for _, r := range results {
		upstream, ratio := "", ""
		if r.Upstream != nil {
			upstream = fmt.Sprintf("%.4g %s", *r.Upstream, r.Unit)
		}
		if r.Ratio != nil {
			ratio = fmt.Sprintf("%.2f", *r.Ratio)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %.4g %s | %s | %s |\n", r.Name, describe(r.Name), r.Value, r.Unit, upstream, ratio)
	}
	return b.String()
}

func describe(name string) string {
	for _, b := range benchmarks {
		if b.name == name {
			return b.what
		}
	}
	return "no longer measured"
}
