// Package sharing shares the polling of sources out between the adapter's
// replicas: each query has an owner among those that are there, the owner polls,
// and the others receive what it got. Nothing that is correct depends on it: a
// replica that is not told of a query for a while polls it by itself, as one does
// that is alone. There is no leader and nothing is written down; a replica is there
// for another one as long as it is heard. It knows no source and judges no reading.
package sharing
