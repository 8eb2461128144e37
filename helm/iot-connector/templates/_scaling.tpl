{{/* What KEDA is told. Context everywhere: root, workload. */}}

{{/* Replicas and threshold of a workload, as JSON. */}}
{{- define "iot-connector.scale" -}}
{{- $scaling := .root.Values.scaling -}}
{{- $partitions := int64 .workload.hub.partitions -}}
{{- if eq .workload.component "normalize" -}}
{{- $own := $scaling.normalize -}}
{{- $least := ternary 1 0 .root.Values.ingest.http.enabled -}}
{{- dict
    "min" (max $least (int64 $own.minReplicas))
    "max" (int64 $own.maxReplicas | default $partitions)
    "threshold" (int64 $own.unprocessedEventThreshold) | toJson -}}
{{- else -}}
{{- $own := $scaling.groupConvert -}}
{{- /* What one process can hold in open windows. */ -}}
{{- $held := mul $partitions (int64 .workload.spec.window.maxEvents) -}}
{{- range $name, $value := include "iot-connector.ownSettings" . | fromJson -}}
{{- if eq (lower $name) "eventbatching__maxeventsallpartitions" -}}{{- $held = max $held (int64 $value) -}}{{- end -}}
{{- end -}}
{{- dict
    "min" (int64 $own.minReplicas)
    "max" (int64 $own.maxReplicas | default $partitions)
    "threshold" (int64 $own.unprocessedEventThreshold | default $held) | toJson -}}
{{- end -}}
{{- end }}

{{/* "true" when KEDA opens hub and storage with connection strings. It knows no mixture: either both are opened with
connection strings, or both by identity. */}}
{{- define "iot-connector.scalesByConnection" -}}
{{- if and .workload.hub.connectionString .root.Values.storage.authentication.connectionString -}}true{{- end -}}
{{- end }}

{{/* The container of positions, as KEDA is to read it. */}}
{{- define "iot-connector.scaledContainer" -}}
{{- ternary "azure-webjobs-eventhub" .workload.positions (eq .root.Values.front "functions") -}}
{{- end }}

{{/* The suffixes of Event Hubs by the cloud's name, as JSON. */}}
{{- define "iot-connector.hubSuffixes" -}}
{{- dict
    "AzurePublicCloud" "servicebus.windows.net"
    "AzureUSGovernmentCloud" "servicebus.usgovcloudapi.net"
    "AzureChinaCloud" "servicebus.chinacloudapi.cn" | toJson -}}
{{- end }}

{{/* What follows the first label of a namespace's host. Context: the host. */}}
{{- define "iot-connector.hubSuffix" -}}
{{- regexReplaceAll "^[^.]*[.]" (lower .) "" -}}
{{- end }}

{{/* Metadata of an azure-eventhub trigger. */}}
{{- define "iot-connector.eventHubTrigger" -}}
{{- $scale := include "iot-connector.scale" . | fromJson -}}
{{- $hub := .workload.hub -}}
{{- /* EntityPath of a connection string wins over this name, for KEDA as for us. */ -}}
eventHubName: {{ $hub.name | quote }}
consumerGroup: {{ $hub.group | quote }}
checkpointStrategy: blobMetadata
blobContainer: {{ include "iot-connector.scaledContainer" . | quote }}
unprocessedEventThreshold: {{ $scale.threshold | int64 | toString | quote }}
activationUnprocessedEventThreshold: "0"
{{- if not (include "iot-connector.scalesByConnection" .) }}
{{- $suffix := include "iot-connector.hubSuffix" $hub.namespace }}
eventHubNamespace: {{ regexReplaceAll "[.].*$" $hub.namespace "" | quote }}
storageAccountName: {{ .root.Values.storage.accountName | quote }}
{{- $cloud := include "iot-connector.cloud" .root }}
{{- if ne (get (include "iot-connector.hubSuffixes" . | fromJson) $cloud) $suffix }}
{{- /* KEDA takes any suffix now, and shows it its own token: `problems.keda` has looked at both. */}}
cloud: Private
endpointSuffix: {{ $suffix | quote }}
storageEndpointSuffix: {{ lower .root.Values.storage.endpointSuffix | quote }}
{{- else if ne $cloud "AzurePublicCloud" }}
cloud: {{ $cloud | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Metadata of a metrics-api trigger, which asks the operator. */}}
{{- define "iot-connector.operatorTrigger" -}}
{{- $scale := include "iot-connector.scale" . | fromJson -}}
{{- $operator := .root.Values.scaling.operator -}}
url: {{ printf "%s/lag/v1/namespaces/%s/workloads/%s" (trimSuffix "/" $operator.url) .root.Release.Namespace .workload.name | quote }}
valueLocation: lag
targetValue: {{ $scale.threshold | int64 | toString | quote }}
activationTargetValue: "0"
authModes: {{ ternary "tls,bearer" "bearer" (not (empty $operator.caBundle)) | quote }}
{{- end }}

{{/* The name of the Secret with what KEDA shows to the operator. Context: the root. */}}
{{- define "iot-connector.scalingSecret" -}}
{{- printf "%s-scaling" .Release.Name -}}
{{- end }}

{{/* What opens what the trigger reads. */}}
{{- define "iot-connector.triggerAuthentication" -}}
{{- $values := .root.Values -}}
{{- if eq $values.scaling.source "operator" -}}
{{- $secret := include "iot-connector.scalingSecret" .root -}}
{{- $parameters := dict "token" ($values.scaling.operator.token | default (dict "secretName" $secret "secretKey" "token")) -}}
{{- if $values.scaling.operator.caBundle -}}
{{- $_ := set $parameters "ca" (dict "secretName" $secret "secretKey" "ca.crt") -}}
{{- $_ := set $parameters "cert" (dict "secretName" $secret "secretKey" "tls.crt") -}}
{{- $_ := set $parameters "key" (dict "secretName" $secret "secretKey" "tls.key") -}}
{{- end -}}
{{- include "iot-connector.triggerSecrets" (dict "root" .root "parameters" $parameters) -}}
{{- else if include "iot-connector.scalesByConnection" . -}}
{{- $parameters := dict "connection" .workload.hub.connectionString "storageConnection" $values.storage.authentication.connectionString -}}
{{- include "iot-connector.triggerSecrets" (dict "root" .root "parameters" $parameters) -}}
{{- else }}
podIdentity:
  provider: azure-workload
  {{- with $values.scaling.keda.identityId }}
  identityId: {{ . | quote }}
  {{- end }}
{{- end -}}
{{- end }}
