package controller

import "github.com/spf13/pflag"

// addLearningFlags registers upstream's flags of post-processors, and our own that
// learn more than upstream does.
func (o *Options) addLearningFlags(fs *pflag.FlagSet) {
	r := &o.Rules
	fs.BoolVar(&r.WholeCPU, "cpu-integer-post-processor-enabled", r.WholeCPU,
		"Round CPU up to whole cores for containers that the object's annotation vpa-post-processor.kubernetes.io/NAME_integerCPU: \"true\" names.")
	fs.BoolVar(&r.Humanize, "humanize-memory", r.Humanize,
		"Cut memory to two decimals of its binary unit. Deprecated upstream in favour of --round-memory-bytes.")
	fs.BoolVar(&r.OOMCountLimit, "oom-count-limit", r.OOMCountLimit,
		"Let the memory limit of a container that was killed for memory count as what it had, where it is above its request. Upstream counts the request.")
	fs.BoolVar(&r.OOMStopAtMax, "oom-stop-at-max-allowed", r.OOMStopAtMax,
		"Let a kill for memory ask for no more than the most that is allowed, so that the uncapped target does not grow past what can be had. Upstream lets it grow.")
	fs.BoolVar(&o.Sidecars, "native-sidecars", o.Sidecars,
		"Learn and recommend for init containers that restart always as for the other containers. Upstream leaves them out.")
}
