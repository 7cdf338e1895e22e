package shards

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Version is the encoding that Encode writes, and the only one that Decode reads.
const Version = 1

const (
	// maxData is the most bytes that the API takes: spec.data has a million
	// characters of base64.
	maxData = 749_000
	// maxPlain bounds what data may grow to when it is read.
	maxPlain = 4 << 20
	// maxRecords bounds how many they may be.
	maxRecords = 1 << 16
)

// Record is the state of one unit. The bytes are the component's.
type Record struct {
	Unit  decision.Unit
	State []byte
}

// errTooLarge is data beyond what a shard holds: there have to be more of them.
var errTooLarge = errors.New("the records do not fit one shard")

// errForm is data that Encode has not written.
var errForm = errors.New("the data is cut short or of another form")

// Encode gives the data of a shard with the records, which it sorts: the same
// records give the same data. The form is deflate of varints: the number of
// records, then of each the kind, namespace, name, UID and state, each with its
// length before it.
func Encode(records []Record) ([]byte, error) {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b Record) int { return compare(a.Unit, b.Unit) })
	plain := binary.AppendUvarint(nil, uint64(len(records)))
	for _, r := range records {
		for _, text := range []string{r.Unit.Kind, r.Unit.Namespace, r.Unit.Name, r.Unit.UID} {
			plain = binary.AppendUvarint(plain, uint64(len(text)))
			plain = append(plain, text...)
		}
		plain = binary.AppendUvarint(plain, uint64(len(r.State)))
		plain = append(plain, r.State...)
	}
	if len(plain) > maxPlain || len(records) > maxRecords {
		return nil, errTooLarge
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if out.Len() > maxData {
		return nil, errTooLarge
	}
	return out.Bytes(), nil
}

func compare(a, b decision.Unit) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.UID, b.UID))
}

// Decode reads what Encode wrote. Any bytes give records or an error, with no more
// than maxPlain bytes in between and maxRecords records.
func Decode(data []byte) ([]Record, error) {
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), maxPlain+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(plain) > maxPlain {
		return nil, errForm
	}
	in := reader{in: plain}
	n := in.number()
	if n > maxRecords {
		return nil, errForm
	}
	var out []Record
	for range n {
		r := Record{Unit: decision.Unit{Kind: in.text(), Namespace: in.text(), Name: in.text(), UID: in.text()}}
		r.State = slices.Clone(in.bytes())
		if in.bad {
			return nil, errForm
		}
		out = append(out, r)
	}
	if in.bad || len(in.in) != 0 {
		return nil, errForm
	}
	return out, nil
}

type reader struct {
	in  []byte
	bad bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 {
		r.bad, r.in = true, nil
		return 0
	}
	r.in = r.in[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.in)) {
		r.bad, r.in = true, nil
		return nil
	}
	out := r.in[:n]
	r.in = r.in[n:]
	return out
}

func (r *reader) text() string { return string(r.bytes()) }

// Hash is the SHA-256 of data, in hexadecimal.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Place is the index of the shard, of so many, that holds a unit's state. It goes
// by kind, namespace and name, and never changes.
func Place(u decision.Unit, shards int) int {
	h := fnv.New64a()
	for _, text := range []string{u.Kind, u.Namespace, u.Name} {
		_, _ = h.Write([]byte(text))
		_, _ = h.Write([]byte{0})
	}
	// The low bits of FNV depend on little: fold the upper half in.
	sum := h.Sum64()
	return int((sum ^ sum>>32) % uint64(shards))
}
