{{/*
The workloads of a connector, which everything else is written from.

  values --> destinations (with defaults) --> workloads: name, component, hub, container of positions
*/}}

{{/* What is not said of a destination; values.yaml shows the same, a test compares. */}}
{{- define "iot-connector.destinationDefaults" -}}
consumerGroup: ""
workloadName: ""
mapping:
  blob: ""
  configMap:
    name: ""
    key: fhirmapping.json
  content: ""
  version: ""
fhir:
  audience: ""
  version: R4
  authentication:
    type: ""
    authority: ""
    clientId: ""
    clientSecret: {}
identityResolution:
  type: Lookup
  deviceIdentifierSystem: ""
window:
  maxEvents: 1000
  seconds: 300
  maxBytes: 8388608
settings: {}
{{- end }}

{{/*
What is asked for again and again is worked out once. All templates of a chart share the root, so it lies there as text:
whoever asks gets a copy of its own. Context: root, key, template, context.
*/}}
{{- define "iot-connector.once" -}}
{{- if not (hasKey .root "once") -}}{{- $_ := set .root "once" dict -}}{{- end -}}
{{- if not (hasKey .root.once .key) -}}{{- $_ := set .root.once .key (include .template .context) -}}{{- end -}}
{{- get .root.once .key -}}
{{- end }}

{{/* The destinations, each whole, as a JSON array. */}}
{{- define "iot-connector.destinations" -}}
{{- include "iot-connector.once" (dict "root" . "key" "destinations" "template" "iot-connector.destinations.make" "context" .) -}}
{{- end }}

{{- define "iot-connector.destinations.make" -}}
{{- $whole := list -}}
{{- range .Values.destinations -}}
{{- $defaults := include "iot-connector.destinationDefaults" $ | fromYaml -}}
{{- $whole = append $whole (mustMergeOverwrite $defaults (deepCopy .)) -}}
{{- end -}}
{{- $whole | toJson -}}
{{- end }}

{{/* The workloads as a JSON array: normalize, and one for each destination. */}}
{{- define "iot-connector.workloads" -}}
{{- include "iot-connector.once" (dict "root" . "key" "workloads" "template" "iot-connector.workloads.make" "context" .) -}}
{{- end }}

{{- define "iot-connector.workloads.make" -}}
{{- $root := . -}}
{{- $workloads := list (include "iot-connector.normalize" . | fromJson) -}}
{{- range $index, $destination := include "iot-connector.destinations" . | fromJsonArray -}}
{{- $context := dict "root" $root "index" $index "destination" $destination -}}
{{- $workloads = append $workloads (include "iot-connector.groupConvert" $context | fromJson) -}}
{{- end -}}
{{- $workloads | toJson -}}
{{- end }}

{{- define "iot-connector.normalize" -}}
{{- $base := .Values.normalize.workloadName | default (printf "%s-normalize" .Release.Name) -}}
{{- $epoch := int .Values.source.epoch -}}
{{- $hub := dict
    "prefix" "InputEventHub"
    "path" "source"
    "namespace" (lower .Values.source.eventHub.fullyQualifiedNamespace)
    "name" (lower .Values.source.eventHub.name)
    "group" (lower .Values.source.eventHub.consumerGroup)
    "partitions" (int .Values.source.eventHub.partitionCount)
    "authentication" (include "iot-connector.sourceAuthentication" .)
    "connectionString" .Values.source.authentication.connectionString
    "customEndpoint" .Values.source.customEndpoint -}}
{{- dict
    "component" "normalize"
    "path" "normalize.workloadName"
    "destination" ""
    "base" $base
    "name" (ternary $base (printf "%s-e%d" $base $epoch) (eq $epoch 1))
    "positions" (printf "%s-e%d" $base $epoch)
    "hub" $hub | toJson -}}
{{- end }}

{{/* Context: root, index, destination. */}}
{{- define "iot-connector.groupConvert" -}}
{{- $values := .root.Values -}}
{{- $name := .destination.workloadName | default (printf "%s-convert-%s" .root.Release.Name .destination.name) -}}
{{- $hub := dict
    "prefix" "NormalizationEventHub"
    "path" "internalHub"
    "namespace" (lower $values.internalHub.eventHub.fullyQualifiedNamespace)
    "name" (lower $values.internalHub.eventHub.name)
    "group" (lower (.destination.consumerGroup | default (printf "dst-%s" .destination.name)))
    "partitions" (int $values.internalHub.eventHub.partitionCount)
    "authentication" ($values.internalHub.authentication.type | default (include "iot-connector.ownIdentity" .root))
    "connectionString" $values.internalHub.authentication.connectionString
    "customEndpoint" $values.internalHub.customEndpoint -}}
{{- dict
    "component" "group-convert"
    "path" (printf "destinations[%d].workloadName" .index)
    "destination" .destination.name
    "base" $name
    "name" $name
    "positions" $name
    "hub" $hub
    "spec" .destination | toJson -}}
{{- end }}

{{/* As whom the connector's own is opened: an authentication type, or nothing. */}}
{{- define "iot-connector.ownIdentity" -}}
{{- get (dict "WorkloadIdentity" "WorkloadIdentity" "AadPodIdentity" "ManagedIdentity" "None" "") .Values.identity.type -}}
{{- end }}

{{- define "iot-connector.sourceAuthentication" -}}
{{- $own := include "iot-connector.ownIdentity" . -}}
{{- .Values.source.authentication.type | default (ternary "ExternalIdentity" $own (not (empty .Values.identity.external.clientId))) -}}
{{- end }}

{{/* As whom normalize sends to the internal hub, which it cannot do with a connection string. */}}
{{- define "iot-connector.senderAuthentication" -}}
{{- $own := include "iot-connector.ownIdentity" . -}}
{{- $given := .Values.internalHub.authentication.type -}}
{{- ternary $own $given (has $given (list "" "ConnectionString")) -}}
{{- end }}

{{- define "iot-connector.storageAuthentication" -}}
{{- .Values.storage.authentication.type | default (include "iot-connector.ownIdentity" .) -}}
{{- end }}

{{/* As whom a FHIR server is opened. Context: root, destination. */}}
{{- define "iot-connector.fhirAuthentication" -}}
{{- $own := include "iot-connector.ownIdentity" .root -}}
{{- $external := not (empty .root.Values.identity.external.clientId) -}}
{{- .destination.fhir.authentication.type | default (ternary "ExternalIdentity" $own $external) -}}
{{- end }}

{{/* Labels that a selector names. Context: root, workload. */}}
{{- define "iot-connector.selectorLabels" -}}
app.kubernetes.io/name: iot-connector
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
iot-connector/workload: {{ .workload.name | quote }}
{{- end }}

{{/* Labels of a workload's objects and pods. Context: root, workload. */}}
{{- define "iot-connector.workloadLabels" -}}
{{ include "iot-connector.selectorLabels" . }}
app.kubernetes.io/component: {{ .workload.component | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- with .workload.destination }}
iot-connector/destination: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Labels of what all workloads share. */}}
{{- define "iot-connector.labels" -}}
app.kubernetes.io/name: iot-connector
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "iot-connector.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default .Release.Name -}}
{{- end }}

{{/* The image of the front. */}}
{{- define "iot-connector.image" -}}
{{- $image := get .Values.image .Values.front -}}
{{- $repository := ternary (printf "%s/%s" (trimSuffix "/" .Values.image.registry) $image.repository) $image.repository (not (empty .Values.image.registry)) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* What an AzureIdentityBinding selects pods by: a label's value, and no other release's of the cluster. */}}
{{- define "iot-connector.podIdentity" -}}
{{- $name := printf "%s-%s" .Release.Namespace .Release.Name -}}
{{- ternary $name (printf "%s-%s" (trunc 54 $name | trimSuffix "-") (sha256sum $name | trunc 8)) (le (len $name) 63) -}}
{{- end }}
