{{/* One for a cluster, so that it has the same name everywhere. */}}
{{- define "platform.operator" -}}iot-connector-operator{{- end }}

{{- define "platform.selectorLabels" -}}
app.kubernetes.io/name: iot-connector-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "platform.labels" -}}
{{ include "platform.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: iot-connector-for-fhir
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "platform.image" -}}
{{- with .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What the schema cannot say of the values. */}}
{{- define "platform.validate" -}}
{{- if and .Values.lag.enabled (not .Values.watchNamespaces) (not .Values.lag.everywhere) }}
{{- fail "lag.enabled: expected `watchNamespaces` with the namespaces of connectors, since the operator may read Secrets and be any ServiceAccount where it looks, which in all namespaces is as much as cluster-admin; or `lag.everywhere=true`, if it is to be that" }}
{{- end }}
{{- $connector := .Values.connectorValues }}
{{- range $path, $value := dict
    "ingest.http.tokenValue" (dig "ingest" "http" "tokenValue" "" $connector)
    "scaling.operator.tokenValue" (dig "scaling" "operator" "tokenValue" "" $connector)
    "scaling.operator.clientKey" (dig "scaling" "operator" "clientKey" "" $connector) }}
{{- if $value }}
{{- fail (printf "connectorValues.%s: expected none: it would lie in an annotation of the operator, for whoever may view it, and be the same for all connectors" $path) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Address and port to listen on. What $(POD_IP) is only the pod knows, so its brackets are given. Context: root, port. */}}
{{- define "platform.listen" -}}
{{- $address := .root.Values.http.listenAddress -}}
{{- ternary (printf "[%s]:%d" $address (int .port)) (printf "%s:%d" $address (int .port)) (and (contains ":" $address) (not (hasPrefix "[" $address))) -}}
{{- end }}

{{/*
What the operator may do where it looks at resources. No wildcards; a test on a real API server asks for all of it and
for nothing else. Server-side apply needs `create` and `patch`.
*/}}
{{- define "platform.rules" -}}
- apiGroups: [iotconnector.health]
  resources: [iotconnectors, fhirs]
  verbs: [get, list, watch]
- apiGroups: [iotconnector.health]
  resources: [iotconnectors/status, fhirs/status]
  verbs: [patch]
# Where the API server asks for it, to be named as an owner whose deletion waits.
- apiGroups: [iotconnector.health]
  resources: [iotconnectors/finalizers, fhirs/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [serviceaccounts, configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.lag.enabled }}
# Neither listed nor watched: what KEDA shows for the lag, and what the lag is read with. The charts make no other.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
{{- end }}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies, ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects, triggerauthentications]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [secrets-store.csi.x-k8s.io]
  resources: [secretproviderclasses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [aadpodidentity.k8s.io]
  resources: [azureidentities, azureidentitybindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.lag.enabled }}
# To read the lag as a connector's identity.
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{- end }}
{{- end }}
