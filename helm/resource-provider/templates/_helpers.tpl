{{/* Context of what is made for a role: root, role. */}}
{{- define "provider.name" -}}{{ .root.Release.Name }}-{{ .role }}{{- end }}

{{- define "provider.selectorLabels" -}}
app.kubernetes.io/name: resource-provider
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "provider.labels" -}}
app.kubernetes.io/name: resource-provider
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: iot-connector-for-fhir
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "provider.roleLabels" -}}
{{ include "provider.labels" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "provider.image" -}}
{{- with .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Address and port to listen on. What $(POD_IP) is only the pod knows, so its brackets are given. Context: root, port. */}}
{{- define "provider.listen" -}}
{{- $address := .root.Values.http.listenAddress -}}
{{- ternary (printf "[%s]:%d" $address (int .port)) (printf "%s:%d" $address (int .port)) (and (contains ":" $address) (not (hasPrefix "[" $address))) -}}
{{- end }}

{{/* How callers are known, for the API. */}}
{{- define "provider.callers" -}}
{{- with .clientCertificateMetadataUrl }}
- name: CLIENT_CERTIFICATE_METADATA_URL
  value: {{ . | quote }}
{{- end }}
{{- with .clientCertificateThumbprints }}
- name: CLIENT_CERTIFICATE_THUMBPRINTS
  value: {{ join "," . | quote }}
{{- end }}
{{- range $name, $values := dict
    "TOKEN_ISSUERS" .tokens.issuers
    "TOKEN_AUDIENCES" .tokens.audiences
    "FRONT_DOOR_APP_IDS" .tokens.frontDoorAppIds
    "APPLICATION_IDS" .tokens.applicationIds }}
{{- with $values }}
- name: {{ $name }}
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
{{- with .tokens.keysUrl }}
- name: TOKEN_KEYS_URL
  value: {{ . | quote }}
{{- end }}
{{- end }}
