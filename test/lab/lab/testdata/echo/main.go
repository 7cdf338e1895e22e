// Command echo is what the tests' tiny chart runs: a server that says what it was given, registers as an aggregated
// API, refuses whatever its webhook is asked, and becomes unhealthy on request.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

func main() {
	address := flag.String("address", "", "")
	certFile := flag.String("tls-cert-file", "", "")
	keyFile := flag.String("tls-private-key-file", "", "")
	config := flag.String("config", "", "")
	says := flag.String("says", "", "")
	kubeconfig := flag.String("kubeconfig", "", "")
	flag.Parse()

	var broken atomic.Bool
	healthy := func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			http.Error(w, "broken on request", http.StatusInternalServerError)
		}
	}
	http.HandleFunc("/livez", healthy)
	http.HandleFunc("/readyz", healthy)
	http.HandleFunc("/break", func(http.ResponseWriter, *http.Request) { broken.Store(true) })
	http.HandleFunc("/says", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *says) })
	http.HandleFunc("/kubeconfig", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *kubeconfig) })
	http.HandleFunc("/word", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, word(*config)) })
	http.HandleFunc("/validate", refuse)
	http.HandleFunc("/apis/echo.example.com/v1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"echo.example.com/v1","resources":[]}`)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServeTLS(*address, *certFile, *keyFile, nil))
	os.Exit(1)
}

// word reads the file that the configuration names.
func word(config string) string {
	content, err := os.ReadFile(config)
	if err != nil {
		return err.Error()
	}
	_, file, _ := strings.Cut(strings.TrimSpace(string(content)), "wordFile: ")
	content, err = os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// refuse answers an admission review with no.
func refuse(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Request struct {
			UID string `json:"uid"`
		} `json:"request"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": "admission.k8s.io/v1",
		"kind":       "AdmissionReview",
		"response": map[string]any{
			"uid":     review.Request.UID,
			"allowed": false,
			"status":  map[string]any{"message": "echo refuses"},
		},
	})
}
