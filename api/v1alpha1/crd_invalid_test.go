package v1alpha1_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"
)

// refusals is a file of testdata/invalid: cases that spoil one valid object.
type refusals struct {
	// Object is the file of a valid object; its first document is taken.
	Object string `json:"object"`
	// Cases by name.
	Cases map[string]refusal `json:"cases"`
}

type refusal struct {
	// Patch is a JSON merge patch of the valid object.
	Patch json.RawMessage `json:"patch"`
	// Update makes it an update of the valid object in place of a create.
	Update bool `json:"update"`
	// Field is the path that one of the errors must name.
	Field string `json:"field"`
	// Message is text that the same error must hold: what a person can do.
	Message string `json:"message"`
}

// TestInvalidObjects spoils valid objects one field at a time and wants the
// error to name the field and say what to do.
func TestInvalidObjects(t *testing.T) {
	kinds := loadSchemas(t)
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]bool{}
	for _, file := range files {
		var set refusals
		if err := yaml.UnmarshalStrict(readFile(t, file), &set); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		docs := readDocuments(t, filepath.Dir(set.Object))[filepath.Base(set.Object)]
		if len(docs) == 0 {
			t.Fatalf("%s: no object in %s", file, set.Object)
		}
		kind := decode(t, docs[0]).GetKind()
		covered[kind] = true
		for name, c := range set.Cases {
			t.Run(kind+"/"+name, func(t *testing.T) { checkRefusal(t, kinds[kind], docs[0], c) })
		}
	}
	for kind := range kinds {
		if !covered[kind] {
			t.Errorf("testdata/invalid has no cases of %s", kind)
		}
	}
}

func checkRefusal(t *testing.T, k *kindSchema, valid []byte, c refusal) {
	t.Helper()
	before, err := yaml.YAMLToJSON(valid)
	if err != nil {
		t.Fatal(err)
	}
	after, err := jsonpatch.MergePatch(before, c.Patch)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, after) {
		t.Fatal("the patch changes nothing")
	}
	var old map[string]any
	if c.Update {
		old = decode(t, before).Object
	}
	errs := k.admit(decode(t, after).Object, old)
	for _, err := range errs {
		if err.Field == c.Field && strings.Contains(err.Error(), c.Message) {
			return
		}
	}
	t.Errorf("want an error at %s with %q, have %v", c.Field, c.Message, errs)
}
