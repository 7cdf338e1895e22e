package resourcemetrics

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/metrics/pkg/client/clientset/versioned/scheme"
)

// gzipFrom is the size from which the API machinery compresses what it answers to
// clients that take it, and gzipLevel how much.
const (
	gzipFrom  = 128 << 10
	gzipLevel = gzip.BestSpeed
)

var (
	inJSON     runtime.Encoder = jsonEncoder()
	inProtobuf runtime.Encoder = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	squeezers                  = sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(io.Discard, gzipLevel) // The level is a valid one.
		return z
	}}
	buffers = sync.Pool{New: func() any { return &bytes.Buffer{} }}
)

func jsonEncoder() runtime.Encoder {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	return info.Serializer
}

// answer writes an object, which knows its kind, in the form that the client takes.
func answer(w http.ResponseWriter, r *http.Request, code int, o runtime.Object) {
	body, _ := buffers.Get().(*bytes.Buffer)
	body.Reset()
	defer buffers.Put(body)
	kind, encoder := runtime.ContentTypeJSON, inJSON
	if strings.Contains(r.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
		kind, encoder = runtime.ContentTypeProtobuf, inProtobuf
	}
	if err := encoder.Encode(o, body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	if body.Len() < gzipFrom || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
		w.WriteHeader(code)
		_, _ = w.Write(body.Bytes())
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(code)
	squeezer, _ := squeezers.Get().(*gzip.Writer)
	defer squeezers.Put(squeezer)
	squeezer.Reset(w)
	_, _ = squeezer.Write(body.Bytes())
	_ = squeezer.Close()
}
