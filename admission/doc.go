// Package admission is the room of vpa-admission: it will set the requests and
// limits of new pods to what is recommended, and validate
// VerticalPodAutoscalers. The patch (admission/patch) will be pure; its webhook
// only serves it, and a webhook that is away blocks no pod. It never touches a
// pod that runs. No binary of this version serves it.
package admission
