package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// storeBatch is how many objects one transaction writes: etcd takes 128 at the most.
	storeBatch = 100
	// storeWriters write at the same time.
	storeWriters = 4
)

// Store writes objects of Kubernetes' own kinds, and custom resources in the version that they are kept in, into the
// database as they are, past the API server, which serves them a moment later as if they had always been there:
// status, UIDs and owners included. It is for benchmarks that need a hundred thousand objects in seconds. Nothing is
// checked and nothing is filled in: store copies of objects that the API server made. An object that is there is
// replaced.
func (l *Lab) Store(ctx context.Context, objects iter.Seq[ctrlclient.Object]) error {
	client, err := clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: []string{l.etcdURL}, Logger: zap.NewNop(), DialTimeout: readyLimit,
	})
	if err != nil {
		return fmt.Errorf("connecting to the lab's database: %w", err)
	}
	defer func() { _ = client.Close() }()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(storeWriters)
	var batch []ctrlclient.Object
	write := func() {
		full := batch
		batch = nil
		g.Go(func() error { return l.storeAll(ctx, client, full) })
	}
	for object := range objects {
		if batch = append(batch, object); len(batch) == storeBatch {
			write()
		}
		if ctx.Err() != nil {
			break
		}
	}
	write()
	return g.Wait()
}

func (l *Lab) storeAll(ctx context.Context, client *clientv3.Client, objects []ctrlclient.Object) error {
	if len(objects) == 0 {
		return nil
	}
	var puts []clientv3.Op
	for _, object := range objects {
		key, value, err := l.stored(object)
		if err != nil {
			return err
		}
		puts = append(puts, clientv3.OpPut(key, value))
	}
	if _, err := client.Txn(ctx).Then(puts...).Commit(); err != nil {
		return fmt.Errorf("writing %d objects into the lab's database: %w", len(puts), err)
	}
	return nil
}

var storeEncoder = protobuf.NewSerializer(clientgoscheme.Scheme, clientgoscheme.Scheme)

// stored gives an object the form that the API server keeps it in.
func (l *Lab) stored(object ctrlclient.Object) (key, value string, err error) {
	kind, err := l.client.GroupVersionKindFor(object)
	if err != nil {
		return "", "", fmt.Errorf("looking up the kind of %T: %w", object, err)
	}
	mapping, err := l.client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return "", "", fmt.Errorf("looking up the resource of %s: %w", kind, err)
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	object.SetResourceVersion("")
	key = "/registry/"
	var encoded bytes.Buffer
	if clientgoscheme.Scheme.Recognizes(kind) {
		err = storeEncoder.Encode(object, &encoded)
	} else { // A custom resource: kept as JSON, under its group.
		key += kind.Group + "/"
		err = json.NewEncoder(&encoded).Encode(object)
	}
	if err != nil {
		return "", "", fmt.Errorf("encoding %s %s: %w", kind.Kind, object.GetName(), err)
	}
	key += mapping.Resource.Resource + "/"
	if object.GetNamespace() != "" {
		key += object.GetNamespace() + "/"
	}
	return key + object.GetName(), encoded.String(), nil
}
