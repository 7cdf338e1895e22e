package main

// hpaMethod says in the document how the figures of the HPA controller at scale are
// taken.
const hpaMethod = `The figures of the HPA controller at scale (` + "`hpa.pass`, `hpa.interval`, `hpa.requests`, `hpa.cpu`, `hpa.rss`, `hpa.reaction`" + `): each
side runs twice, in turn (A B A B), each time in a control plane of its own that shares the machine with it, and medians are
told (the lower of two). Loaded are, in 20 namespaces, HPAs, and for each a Deployment, its ReplicaSet and 5 pods, with
their status: copies of objects that the API server made, written into its database. Nothing else runs but the service
account controller; a server in memory answers for metrics.k8s.io. Upstream's controller is alone in its controller
manager, at its own defaults, but for the limit of its own on requests where it says "with ample requests"
(10,000 a second instead of 20); ours runs as the chart installs it, at its defaults. An evaluation is seen from outside, as the write of a
status: usage changes every 250 ms by little enough that no count does. Evaluations "while nothing changes" are counted
by the controllers' own reconciliations_total, which both have. Requests are those that the API server counts, leases
and events included, and those that it passes on to the metrics API.

`
