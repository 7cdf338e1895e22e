{{/*
The Service of another adapter that the cluster asks for custom metrics, empty
where there is none or where the chart is rendered without a cluster. The context
is the chart's.
*/}}
{{- define "quartet.otherCustomMetrics" -}}
{{- $other := "" -}}
{{- range $version := list "v1beta2" "v1beta1" -}}
{{- $api := lookup "apiregistration.k8s.io/v1" "APIService" "" (printf "%s.custom.metrics.k8s.io" $version) | default dict -}}
{{- with dig "spec" "service" dict $api -}}
{{- $service := printf "%s/%s" (.namespace | default "") (.name | default "") -}}
{{- if ne $service (printf "%s/metrics-adapter" $.Release.Namespace) -}}
{{- $other = $service -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $other -}}
{{- end -}}

{{/*
The argument that makes a peer of an entry of peers.
*/}}
{{- define "quartet.peer" -}}
--external-metrics-peer=name={{ .name }},service={{ .service }},metrics={{ .metrics }}
{{- with .namespaces }},namespaces={{ join "," . }}{{ end }}
{{- with .timeout }},timeout={{ . }}{{ end }}
{{- with .maxAge }},max-age={{ . }}{{ end }}
{{- if .insecureSkipVerify }},insecure-skip-verify=true{{ else }},ca-file=/etc/quartet/peers/{{ .name }}.crt{{ end }}
{{- end -}}

{{/*
A source of the volume of the peers' certificates, for an entry of peers.
*/}}
{{- define "quartet.peerCertificate" -}}
{{- if .ca.secret }}
- secret:
    name: {{ .ca.secret }}
{{- else }}
- configMap:
    name: {{ .ca.configMap }}
{{- end }}
    items: [{ key: {{ .ca.key | default "ca.crt" }}, path: {{ .name }}.crt }]
{{- end -}}
