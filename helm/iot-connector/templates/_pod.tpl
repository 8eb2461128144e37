{{/* The pod of a workload. Context everywhere: root, workload. */}}

{{- define "iot-connector.env" -}}
{{- $settings := include "iot-connector.settings" . | fromJson -}}
{{- /* Not POD_NAMESPACE, which makes the Functions host believe it is App Service's own. */ -}}
- name: K8S_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: K8S_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- if eq .root.Values.front "native" }}
{{- /* The same when the container starts again, so that it goes on at once with what is its own; and no other
       pod's as long as this one is there. */}}
- name: Process__Name
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- range $name, $reference := $settings.secrets }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      {{- include "iot-connector.secretKeyRef" (dict "workload" $.workload "reference" $reference) | nindent 6 }}
{{- end }}
{{- range $name, $value := $settings.plain }}
- name: {{ $name | quote }}
  value: {{ hasKey $settings.referring $name | ternary $value (include "iot-connector.literal" ($value | toString)) | quote }}
{{- end }}
{{- end }}

{{/*
Probes are tied to progress. Natively `/healthz` fails when the loop that reads the hub stands still, and `/readyz`
answers once hub and positions have been seen. The Functions host answers at its root whether or not the function
lives, so its liveness asks the function itself, where it serves its metrics: the host starts it again when it ends,
and ends when that helps nothing; what it does not see is a function that hangs.
*/}}
{{- define "iot-connector.probes" -}}
{{- if eq .root.Values.front "native" -}}
startupProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  # A hub that is away at the start is waited for ten minutes.
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- else -}}
{{- $function := ternary "{path: /metrics, port: metrics}" "{path: /, port: http}" .root.Values.telemetry.prometheus.enabled -}}
startupProbe:
  httpGet: {{ $function }}
  periodSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {{ $function }}
  periodSeconds: 20
  timeoutSeconds: 10
  # Time for the host to start the function again by itself.
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}
{{- end }}

{{- define "iot-connector.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if (include "iot-connector.workloadMapping" . | fromJson).configMap }}
- name: mapping
  mountPath: /etc/iot-connector
  readOnly: true
{{- end }}
{{- if include "iot-connector.vaultSecrets" . | fromJsonArray }}
- name: key-vault
  mountPath: /mnt/key-vault
  readOnly: true
{{- end }}
{{- end }}

{{- define "iot-connector.volumes" -}}
{{- $mapping := include "iot-connector.workloadMapping" . | fromJson -}}
# All that the image of the Functions front writes goes there; the native one writes nothing.
- name: tmp
  emptyDir: {sizeLimit: {{ ternary "64Mi" "256Mi" (eq .root.Values.front "native") }}}
{{- with $mapping.configMap }}
# Mounted whole, without subPath: so a changed mapping reaches the pod, and is in use within a minute.
- name: mapping
  configMap:
    name: {{ . | quote }}
    items:
      - key: {{ $mapping.key | quote }}
        path: {{ $mapping.key | quote }}
{{- end }}
{{- if include "iot-connector.vaultSecrets" . | fromJsonArray }}
# The driver makes the Secret that the environment refers to as long as this is mounted.
- name: key-vault
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ .workload.name | quote }}
{{- end }}
{{- end }}

{{- define "iot-connector.resources" -}}
{{- $resources := .root.Values.pod.resources -}}
{{- if eq .root.Values.front "functions" -}}
{{- $resources.functionsHost | toYaml -}}
{{- else if eq .workload.component "normalize" -}}
{{- $resources.normalize | toYaml -}}
{{- else -}}
{{- $resources.groupConvert | toYaml -}}
{{- end -}}
{{- end }}
