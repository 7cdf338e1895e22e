{{/*
The Deployment of a component. args are arguments of its own, env variables, ports the ports
beside the secure one: a list of {name, port, servicePort}. volumes are mounted to
read: a list of {name, path, volume}. leaderless is one whose replicas elect no
leader.
*/}}
{{- define "quartet.deployment" -}}
{{- $v := .values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "quartet.metadata" . | nindent 2 }}
spec:
  replicas: {{ $v.replicas }}
  selector:
    matchLabels:
      {{- include "quartet.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: quartet
        {{- include "quartet.selectorLabels" . | nindent 8 }}
        {{- with .root.Values.commonLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $v.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) $v.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ .name }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: {{ .name }}
          image: {{ printf "%s:%s" .root.Values.image.repository (.root.Values.image.tag | default .root.Chart.AppVersion) | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: [{{ printf "/%s" .name | quote }}]
          args:
            - --bind-address={{ $v.bindAddress }}
            - --secure-port={{ $v.port }}
            - --tls-cert-file=/etc/quartet/tls/tls.crt
            - --tls-private-key-file=/etc/quartet/tls/tls.key
            - --log-format={{ $v.logFormat }}
            - --log-level={{ $v.logLevel }}
            - --mode={{ $v.mode }}
            {{- if not .leaderless }}
            - --leader-elect-resource-namespace={{ .root.Release.Namespace }}
            {{- end }}
            {{- with $v.ledger.dir }}
            - --ledger-dir={{ . }}
            {{- end }}
            {{- range .args }}
            - {{ . }}
            {{- end }}
            {{- range $v.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          env:
            - name: POD_NAMESPACE
              value: {{ .root.Release.Namespace }}
            {{- with .env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- with $v.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - name: https
              containerPort: {{ $v.port }}
              protocol: TCP
            {{- range .ports }}
            - name: {{ .name }}
              containerPort: {{ .port }}
              protocol: TCP
            {{- end }}
          livenessProbe:
            httpGet: { path: /livez, port: https, scheme: HTTPS }
            initialDelaySeconds: 10
            periodSeconds: 10
            timeoutSeconds: 3
          readinessProbe:
            httpGet: { path: /readyz, port: https, scheme: HTTPS }
            periodSeconds: 5
            timeoutSeconds: 3
          {{- with $v.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
          volumeMounts:
            - name: tls
              mountPath: /etc/quartet/tls
              readOnly: true
            {{- with $v.ledger.dir }}
            - name: ledger
              mountPath: {{ . }}
            {{- end }}
            {{- range .volumes }}
            - name: {{ .name }}
              mountPath: {{ .path }}
              readOnly: true
            {{- end }}
      volumes:
        - name: tls
          secret:
            secretName: {{ include "quartet.tlsSecret" . }}
        {{- if $v.ledger.dir }}
        - name: ledger
          {{- toYaml $v.ledger.volume | nindent 10 }}
        {{- end }}
        {{- range .volumes }}
        - name: {{ .name }}
          {{- toYaml .volume | nindent 10 }}
        {{- end }}
      {{- with $v.podSpec }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end }}

{{/*
The ServiceAccount, the Service and, where it helps, the disruption budget. ports
are as for the Deployment.
*/}}
{{- define "quartet.service" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "quartet.metadata" . | nindent 2 }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "quartet.metadata" . | nindent 2 }}
spec:
  selector:
    {{- include "quartet.selectorLabels" . | nindent 4 }}
  ports:
    - name: https
      port: {{ .values.servicePort }}
      targetPort: https
      protocol: TCP
    {{- range .ports }}
    - name: {{ .name }}
      port: {{ .servicePort }}
      targetPort: {{ .name }}
      protocol: TCP
    {{- end }}
{{- if gt (int .values.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "quartet.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "quartet.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}

{{/*
The serving certificate and the APIServices that trust it, in one template since
both need the same CA. groups is a list of {group, version}. A certificate that
is in the cluster already is kept.
*/}}
{{- define "quartet.serving" -}}
{{- $v := .values -}}
{{- $ca := $v.tls.caBundle | b64enc -}}
{{- if not $v.tls.existingSecret -}}
{{- $secret := include "quartet.tlsSecret" . -}}
{{- $host := printf "%s.%s.svc" .name .root.Release.Namespace -}}
{{- $data := dict -}}
{{- with lookup "v1" "Secret" .root.Release.Namespace $secret -}}
{{- if and .data (index .data "tls.crt") (index .data "tls.key") (index .data "ca.crt") -}}
{{- $data = pick .data "tls.crt" "tls.key" "ca.crt" -}}
{{- end -}}
{{- end -}}
{{- if not $data -}}
{{- $days := int .root.Values.tls.validityDays -}}
{{- $authority := genCA (printf "quartet %s" .name) $days -}}
{{- $cert := genSignedCert $host nil (list $host (printf "%s.%s" .name .root.Release.Namespace) .name "localhost") $days $authority -}}
{{- $data = dict "tls.crt" ($cert.Cert | b64enc) "tls.key" ($cert.Key | b64enc) "ca.crt" ($authority.Cert | b64enc) -}}
{{- end -}}
{{- $ca = index $data "ca.crt" -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "quartet.metadata" (merge (dict "object" $secret) .) | nindent 2 }}
type: kubernetes.io/tls
data:
  {{- toYaml $data | nindent 2 }}
{{- end }}
{{- $c := . }}
{{- range .groups }}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: {{ .version }}.{{ .group }}
  labels:
    {{- include "quartet.labels" $c | nindent 4 }}
  {{- with mergeOverwrite (deepCopy $c.root.Values.commonAnnotations) $c.root.Values.apiServices.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  group: {{ .group }}
  version: {{ .version }}
  groupPriorityMinimum: 100
  versionPriority: 100
  service:
    name: {{ $c.name }}
    namespace: {{ $c.root.Release.Namespace }}
    port: {{ $v.servicePort }}
  {{- with $ca }}
  caBundle: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What a server behind the aggregation layer needs to know its callers. */}}
{{- define "quartet.delegation" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "quartet.clusterMetadata" (merge (dict "object" (printf "quartet:%s:auth-delegator" .name)) .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: system:auth-delegator
subjects:
  {{- include "quartet.subject" . | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: quartet:{{ .name }}:auth-reader
  namespace: kube-system
  labels:
    {{- include "quartet.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: extension-apiserver-authentication-reader
subjects:
  {{- include "quartet.subject" . | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "quartet.clusterMetadata" (merge (dict "object" (printf "quartet:%s" .name)) .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: quartet:{{ .name }}
subjects:
  {{- include "quartet.subject" . | nindent 2 }}
{{- end }}

{{/* The lease that a component's replicas elect a leader by. */}}
{{- define "quartet.leaderElection" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "quartet.metadata" (merge (dict "object" (printf "quartet:%s:leader-election" .name)) .) | nindent 2 }}
rules:
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [create]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [{{ .name }}]
    verbs: [get, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "quartet.metadata" (merge (dict "object" (printf "quartet:%s:leader-election" .name)) .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: quartet:{{ .name }}:leader-election
subjects:
  {{- include "quartet.subject" . | nindent 2 }}
{{- end }}

{{/*
Keeping states in StateShards of the release's namespace. Their names follow from
their number, which grows: RBAC cannot list them.
*/}}
{{- define "quartet.stateShards" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "quartet.metadata" (merge (dict "object" (printf "quartet:%s:state" .name)) .) | nindent 2 }}
rules:
  - apiGroups: [autoscaling.quartet.dev]
    resources: [stateshards]
    verbs: [list, create, update, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "quartet.metadata" (merge (dict "object" (printf "quartet:%s:state" .name)) .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: quartet:{{ .name }}:state
subjects:
  {{- include "quartet.subject" . | nindent 2 }}
{{- end }}

{{/*
Reading leases of others, by name: leases is {object, namespace, names}, object
being the name of the Role.
*/}}
{{- define "quartet.leaseReader" -}}
{{- $object := printf "quartet:%s:%s" .name .leases.object -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $object }}
  namespace: {{ .leases.namespace }}
  labels:
    {{- include "quartet.labels" . | nindent 4 }}
rules:
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames:
      {{- toYaml .leases.names | nindent 6 }}
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $object }}
  namespace: {{ .leases.namespace }}
  labels:
    {{- include "quartet.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $object }}
subjects:
  {{- include "quartet.subject" . | nindent 2 }}
{{- end }}
