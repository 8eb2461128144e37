{{/* The storage account, and the suffixes of its cloud. */}}

{{/* The address of the account's blobs, without a slash at the end. */}}
{{- define "iot-connector.blobs" -}}
{{- .Values.storage.blobServiceUri | default (printf "https://%s.blob.%s" .Values.storage.accountName .Values.storage.endpointSuffix) | trimSuffix "/" -}}
{{- end }}

{{/* The address of a container, with the variable of the SAS when there is one, as the kubelet reads it.
Context: root, name. */}}
{{- define "iot-connector.container" -}}
{{- $query := ternary "?$(STORAGE_SAS)" "" (eq (include "iot-connector.storageAuthentication" .root) "Sas") -}}
{{- printf "%s/%s%s" (include "iot-connector.literal" (include "iot-connector.blobs" .root)) .name $query -}}
{{- end }}

{{/* The clouds' names as Azure's SDKs have them by the suffixes of storage, as JSON. */}}
{{- define "iot-connector.storageSuffixes" -}}
{{- dict
    "core.windows.net" "AzurePublicCloud"
    "core.usgovcloudapi.net" "AzureUSGovernmentCloud"
    "core.chinacloudapi.cn" "AzureChinaCloud" | toJson -}}
{{- end }}

{{/* The cloud's name by the account's suffix; "Private" for another. */}}
{{- define "iot-connector.cloud" -}}
{{- get (include "iot-connector.storageSuffixes" . | fromJson) (lower .Values.storage.endpointSuffix) | default "Private" -}}
{{- end }}

{{/* The suffix of key vaults. */}}
{{- define "iot-connector.vaultSuffix" -}}
{{- $suffixes := dict
    "AzureUSGovernmentCloud" "vault.usgovcloudapi.net"
    "AzureChinaCloud" "vault.azure.cn" -}}
{{- get $suffixes (include "iot-connector.cloud" .) | default "vault.azure.net" -}}
{{- end }}

{{/* The device mapping, or that of a destination: blob, or the ConfigMap and key of its file, as JSON.
Context: root, mapping, fallback (the blob without anything), configMap (the name of this chart's). */}}
{{- define "iot-connector.mapping" -}}
{{- $m := .mapping -}}
{{- if $m.content -}}
{{- dict "configMap" .configMap "key" $m.configMap.key | toJson -}}
{{- else if $m.configMap.name -}}
{{- dict "configMap" $m.configMap.name "key" $m.configMap.key | toJson -}}
{{- else -}}
{{- dict "blob" ($m.blob | default .fallback) | toJson -}}
{{- end -}}
{{- end }}

{{/* The values of the mapping of a workload, as JSON. Context: root, workload. */}}
{{- define "iot-connector.mappingValues" -}}
{{- $mapping := .root.Values.mappings.device -}}
{{- if ne .workload.component "normalize" -}}{{- $mapping = .workload.spec.mapping -}}{{- end -}}
{{- $mapping | toJson -}}
{{- end }}

{{/* Its version, or nothing. Context: root, workload. */}}
{{- define "iot-connector.mappingVersion" -}}
{{- (include "iot-connector.mappingValues" . | fromJson).version -}}
{{- end }}

{{/* The mapping of a workload, as above. Context: root, workload. */}}
{{- define "iot-connector.workloadMapping" -}}
{{- $normalize := eq .workload.component "normalize" -}}
{{- $mapping := include "iot-connector.mappingValues" . | fromJson -}}
{{- $fallback := ternary "devicecontent.json" "fhirmapping.json" $normalize -}}
{{- include "iot-connector.mapping" (dict "root" .root "mapping" $mapping "fallback" $fallback "configMap" (printf "%s-mapping" .workload.name)) -}}
{{- end }}
