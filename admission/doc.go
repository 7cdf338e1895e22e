// Package admission is the room of vpa-admission: it sets the requests and
// limits of new pods to what is recommended, and validates
// VerticalPodAutoscalers. The patch (admission/patch) and the validation are
// pure; the webhook only serves them, under a certificate of its own, and a
// webhook that is away blocks no pod. It never touches a pod that runs.
package admission
