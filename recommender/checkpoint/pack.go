package checkpoint

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

const (
	// packAbove is the size, in bytes, above which an annotation is packed: the
	// intervals of many pods are much alike.
	packAbove = 8 << 10
	// packed is what a packed annotation begins with. JSON never does.
	packed = "gzip:"
	// unpackedMost bounds what an annotation unpacks to, in bytes.
	unpackedMost = 64 << 20
)

// pack makes a text shorter, the same for the same text.
func pack(content []byte) (string, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		return "", fmt.Errorf("pack the history: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("pack the history: %w", err)
	}
	return packed + base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// unpack gives the content of an annotation, packed or not.
func unpack(annotation string) ([]byte, error) {
	rest, is := strings.CutPrefix(annotation, packed)
	if !is {
		return []byte(annotation), nil
	}
	in, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(rest)))
	if err != nil {
		return nil, fmt.Errorf("unpack the history: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(in, unpackedMost))
	if err != nil {
		return nil, fmt.Errorf("unpack the history: %w", err)
	}
	return content, nil
}
