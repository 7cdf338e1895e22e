package main

// vpaMethod says in the document how the figures of the VPA are taken.
const vpaMethod = `The figures of the VPA (` + "`vpa.recommender`, `vpa.requests`, `vpa.admission`" + `): each side runs twice, in turn, each time in a control
plane of its own that shares the machine with it, and medians are told (the lower of two). Upstream's programs are of
the version 1.8.1 whose API types the suite imports, built with the suite's versions of the Kubernetes libraries, under
upstream's own rules of access; ours run as the chart installs them, at their defaults. Loaded are, in 20 namespaces,
VPAs, and for each a Deployment, its ReplicaSet, pods of two containers, and for each container a checkpoint of 8 days,
so that both begin as in a cluster where they have worked for long. A server in memory answers for metrics.k8s.io, with a
new sample of every container each time it is asked; CPU usage moves by a quarter every 10 s, memory does not. The first
pass, which reads the history, is left out; the two after it are measured, of upstream's at its default flags and at
100,000 containers the one after it. Upstream's recommender begins a pass 10 s after the last one began, in place of a
minute, which changes nothing of what a pass does. A pass is what the recommender itself says that it took; requests
and processor time are those from the end of one to the end of another, all that happens in between included. Every run
fails unless each container is recommended what it uses. Reviews are sent over HTTP/2 as the API server sends them, of
pods of all 2,000 VPAs in a random order, for 10 s each way; a review without a patch fails the run. What is
remembered in a simulated week is the heap after a garbage collection, of our recommender's loop and of upstream's model.

`
