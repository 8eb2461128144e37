{{/*
The app settings of a workload (docs/settings.md).

  root, workload --> {"plain": {name: text}, "secrets": {name: secret reference}, "referring": {name: true}} --> env

What one helper puts in, a later one may put over: the user's own settings come last. The kubelet puts values of the
pod in the place of $(NAME) in texts that are "referring", and in no others: those may be a customer's.
*/}}

{{- define "iot-connector.settings" -}}
{{- include "iot-connector.once" (dict "root" .root "key" .workload.path "template" "iot-connector.settings.make" "context" .) -}}
{{- end }}

{{- define "iot-connector.settings.make" -}}
{{- $root := .root -}}
{{- $workload := .workload -}}
{{- $plain := dict -}}
{{- $secrets := dict -}}
{{- $referring := dict -}}
{{- $context := dict "root" $root "workload" $workload "plain" $plain "secrets" $secrets "referring" $referring -}}
{{- include "iot-connector.settings.common" $context -}}
{{- include "iot-connector.settings.storage" $context -}}
{{- include "iot-connector.settings.hub" $context -}}
{{- if eq $workload.component "normalize" -}}
{{- include "iot-connector.settings.normalize" $context -}}
{{- else -}}
{{- include "iot-connector.settings.groupConvert" $context -}}
{{- end -}}
{{- if eq $root.Values.front "functions" -}}
{{- include "iot-connector.settings.functions" $context -}}
{{- else -}}
{{- $_ := set $plain "Http__Listen" (include "iot-connector.listen" $root) -}}
{{- $_ := set $referring "Http__Listen" true -}}
{{- end -}}
{{- $own := include "iot-connector.ownSettings" (dict "root" $root "workload" $workload) | fromJson -}}
{{- range $name, $value := $own -}}
{{- $_ := set $plain $name $value -}}
{{- $_ := unset $referring $name -}}
{{- end -}}
{{- dict "plain" $plain "secrets" $secrets "referring" $referring | toJson -}}
{{- end }}

{{/* A text of which the kubelet makes the same again, whatever is in it. Context: the text. */}}
{{- define "iot-connector.literal" -}}
{{- if or (contains "$(" .) (contains "$$" .) -}}{{- . | replace "$" "$$" -}}{{- else -}}{{- . -}}{{- end -}}
{{- end }}

{{/* What the user adds: for all workloads, and for this one. Context: root, workload. */}}
{{- define "iot-connector.ownSettings" -}}
{{- $more := .root.Values.normalize.settings -}}
{{- if .workload.destination -}}{{- $more = .workload.spec.settings -}}{{- end -}}
{{- mustMergeOverwrite (dict) .root.Values.settings $more | toJson -}}
{{- end }}

{{- define "iot-connector.settings.common" -}}
{{- $values := .root.Values -}}
{{- $_ := set .plain "Connector__Name" ($values.connector.name | default .root.Release.Name) -}}
{{- $_ := set .plain "RUST_LOG" $values.telemetry.logLevel -}}
{{- $_ := set .plain "LOG_FORMAT" $values.telemetry.logFormat -}}
{{- if $values.telemetry.prometheus.enabled -}}
{{- $_ := set .plain "Telemetry__PrometheusAddress" ($values.http.listenAddress | trimPrefix "[" | trimSuffix "]") -}}
{{- $_ := set .referring "Telemetry__PrometheusAddress" true -}}
{{- $_ := set .plain "Telemetry__PrometheusPort" ($values.telemetry.prometheus.port | int | toString) -}}
{{- end -}}
{{- with $values.telemetry.otlpEndpoint -}}
{{- $_ := set $.plain "OTEL_EXPORTER_OTLP_ENDPOINT" . -}}
{{- $_ := set $.plain "OTEL_RESOURCE_ATTRIBUTES" "k8s.namespace.name=$(K8S_NAMESPACE),k8s.pod.name=$(K8S_POD_NAME)" -}}
{{- $_ := set $.referring "OTEL_RESOURCE_ATTRIBUTES" true -}}
{{- end -}}
{{- $identity := $values.identity.internal -}}
{{- $own := include "iot-connector.ownIdentity" .root -}}
{{- if $own -}}
{{- $_ := set .plain "InternalIdentity__AuthenticationType" $own -}}
{{- range $name, $value := dict "ClientId" $identity.clientId "ObjectId" $identity.objectId "ResourceId" $identity.resourceId -}}
{{- if $value -}}{{- $_ := set $.plain (printf "InternalIdentity__%s" $name) $value -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What lies in blobs: mapping, positions, dead letters. */}}
{{- define "iot-connector.settings.storage" -}}
{{- $values := .root.Values -}}
{{- $type := include "iot-connector.storageAuthentication" .root -}}
{{- $mapping := include "iot-connector.workloadMapping" . | fromJson -}}
{{- $setting := ternary "Template__DeviceContent" "Template__FhirMapping" (eq .workload.component "normalize") -}}
{{- $places := dict "CheckpointStorage" .workload.positions -}}
{{- if $mapping.blob -}}
{{- $_ := set .plain $setting $mapping.blob -}}
{{- $_ := set $places "TemplateStorage" $values.storage.containers.mappings -}}
{{- else -}}
{{- $_ := set .plain $setting (printf "/etc/iot-connector/%s" $mapping.key) -}}
{{- end -}}
{{- with $values.deadLetters.eventHub.name -}}
{{- $_ := set $.plain "DeadLetters__EventHubNamespaceFQDN" $values.deadLetters.eventHub.fullyQualifiedNamespace -}}
{{- $_ := set $.plain "DeadLetters__EventHubName" . -}}
{{- $_ := set $.plain "DeadLetters__AuthenticationType" (include "iot-connector.ownIdentity" $.root) -}}
{{- else -}}
{{- $_ := set $places "DeadLetters" $values.storage.containers.deadLetters -}}
{{- end -}}
{{- if and .workload.destination $values.storage.containers.parking -}}
{{- $_ := set $places "Parking" (printf "%s-%s" $values.storage.containers.parking .workload.destination) -}}
{{- end -}}
{{- range $prefix, $name := $places -}}
{{- $uri := printf "%s__BlobStorageContainerUri" $prefix -}}
{{- $_ := set $.plain $uri (include "iot-connector.container" (dict "root" $.root "name" $name)) -}}
{{- $_ := set $.referring $uri true -}}
{{- if ne $type "Sas" -}}{{- $_ := set $.plain (printf "%s__AuthenticationType" $prefix) $type -}}{{- end -}}
{{- if has $prefix (list "CheckpointStorage" "TemplateStorage") -}}
{{- $_ := set $.plain (printf "%s__BlobContainerName" $prefix) $name -}}
{{- end -}}
{{- end -}}
{{- $_ := set .plain "Checkpoint__BlobPrefix" "" -}}
{{- if eq $type "Sas" -}}{{- $_ := set .secrets "STORAGE_SAS" $values.storage.authentication.sas -}}{{- end -}}
{{- end }}

{{/* The hub that is read. */}}
{{- define "iot-connector.settings.hub" -}}
{{- $hub := .workload.hub -}}
{{- $texts := dict
    "AuthenticationType" $hub.authentication
    "EventHubNamespaceFQDN" $hub.namespace
    "EventHubName" $hub.name
    "EventHubConsumerGroup" $hub.group
    "CustomEndpoint" $hub.customEndpoint -}}
{{- range $name, $value := $texts -}}
{{- if $value -}}{{- $_ := set $.plain (printf "%s__%s" $hub.prefix $name) $value -}}{{- end -}}
{{- end -}}
{{- if include "iot-connector.readsByConnection" . -}}
{{- $name := ternary $hub.prefix (printf "%s__ConnectionString" $hub.prefix) (eq .root.Values.front "functions") -}}
{{- $_ := set .secrets $name $hub.connectionString -}}
{{- end -}}
{{- end }}

{{/* "true" when the hub is read with a connection string. The Functions host knows no made-up token. */}}
{{- define "iot-connector.readsByConnection" -}}
{{- $type := .workload.hub.authentication -}}
{{- if or (eq $type "ConnectionString") (and (eq $type "Development") (eq .root.Values.front "functions")) -}}true{{- end -}}
{{- end }}

{{- define "iot-connector.settings.external" -}}
{{- $identity := .identity -}}
{{- range $name := list "clientId" "tenantId" "certificateUri" "authorityHost" -}}
{{- with get $identity $name -}}
{{- $_ := set $.plain (printf "ExternalIdentity__%s" (title $name)) . -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "iot-connector.settings.normalize" -}}
{{- $values := .root.Values -}}
{{- if eq .workload.hub.authentication "ExternalIdentity" -}}
{{- include "iot-connector.settings.external" (dict "plain" .plain "identity" $values.identity.external) -}}
{{- end -}}
{{- $_ := set .plain "Ingest__ConnectionType" "EventHub" -}}
{{- $_ := set .plain "Ingest__Epoch" ($values.source.epoch | int | toString) -}}
{{- $_ := set .plain "NormalizationEventHub__EventHubNamespaceFQDN" (lower $values.internalHub.eventHub.fullyQualifiedNamespace) -}}
{{- $_ := set .plain "NormalizationEventHub__EventHubName" (lower $values.internalHub.eventHub.name) -}}
{{- $_ := set .plain "NormalizationEventHub__AuthenticationType" (include "iot-connector.senderAuthentication" .root) -}}
{{- with $values.internalHub.customEndpoint -}}
{{- $_ := set $.plain "NormalizationEventHub__CustomEndpoint" . -}}
{{- end -}}
{{- if $values.ingest.http.enabled -}}
{{- $own := dict "secretName" (printf "%s-ingest" .root.Release.Name) "secretKey" "token" -}}
{{- $_ := set .secrets "Ingest__Token" ($values.ingest.http.token | default $own) -}}
{{- end -}}
{{- end }}

{{- define "iot-connector.settings.groupConvert" -}}
{{- $spec := .workload.spec -}}
{{- $type := include "iot-connector.fhirAuthentication" (dict "root" .root "destination" $spec) -}}
{{- $_ := set .plain "FhirService__Url" $spec.fhir.url -}}
{{- $_ := set .plain "FhirService__Resource" ($spec.fhir.audience | default (trimSuffix "/" $spec.fhir.url)) -}}
{{- $_ := set .plain "FhirVersion" $spec.fhir.version -}}
{{- $_ := set .plain "FhirClient__UseManagedIdentity" (has $type (list "ExternalIdentity" "WorkloadIdentity" "ManagedIdentity") | toString) -}}
{{- /* The function has no name for "this pod's workload identity": it is the external one with the internal's id. */ -}}
{{- $_ := set .plain "FhirService__AuthenticationType" (ternary "ExternalIdentity" $type (eq $type "WorkloadIdentity")) -}}
{{- if eq $type "WorkloadIdentity" -}}
{{- $identity := dict "clientId" .root.Values.identity.internal.clientId "tenantId" .root.Values.identity.internal.tenantId -}}
{{- include "iot-connector.settings.external" (dict "plain" .plain "identity" $identity) -}}
{{- else if eq $type "ExternalIdentity" -}}
{{- include "iot-connector.settings.external" (dict "plain" .plain "identity" .root.Values.identity.external) -}}
{{- else if eq $type "ClientCredentials" -}}
{{- $_ := set .plain "FhirService__Authority" $spec.fhir.authentication.authority -}}
{{- $_ := set .plain "FhirService__ClientId" $spec.fhir.authentication.clientId -}}
{{- $_ := set .secrets "FhirService__ClientSecret" $spec.fhir.authentication.clientSecret -}}
{{- end -}}
{{- $_ := set .plain "ResourceIdentity__ResourceIdentityServiceType" $spec.identityResolution.type -}}
{{- with $spec.identityResolution.deviceIdentifierSystem -}}
{{- $_ := set $.plain "ResourceIdentity__DefaultDeviceIdentifierSystem" . -}}
{{- end -}}
{{- $_ := set .plain "EventBatching__MaxEvents" ($spec.window.maxEvents | int64 | toString) -}}
{{- $_ := set .plain "EventBatching__FlushTimespan" ($spec.window.seconds | int64 | toString) -}}
{{- $_ := set .plain "EventBatching__MaxBytes" ($spec.window.maxBytes | int64 | toString) -}}
{{- end }}

{{/* Address and port to listen on. What $(POD_IP) is only the pod knows, so its brackets are given. */}}
{{- define "iot-connector.listen" -}}
{{- $address := .Values.http.listenAddress -}}
{{- ternary (printf "[%s]:%d" $address (int .Values.http.port)) (printf "%s:%d" $address (int .Values.http.port)) (and (contains ":" $address) (not (hasPrefix "[" $address))) -}}
{{- end }}

{{/* What the Functions host reads. Context: root, workload, plain, secrets. */}}
{{- define "iot-connector.settings.functions" -}}
{{- $values := .root.Values -}}
{{- $name := .workload.name -}}
{{- $hub := .workload.hub -}}
{{- $_ := set .plain "FUNCTIONS_WORKER_RUNTIME" "custom" -}}
{{- $_ := set .plain "AzureWebJobsScriptRoot" (printf "/home/site/%s" .workload.component) -}}
{{- $_ := set .plain "AzureWebJobsSecretStorageType" "files" -}}
{{- /* The same for all replicas, and of 32 characters at the most. */ -}}
{{- $id := ternary $name (printf "%s-%s" (trunc 23 $name | trimSuffix "-") (sha256sum $name | trunc 8)) (le (len $name) 32) -}}
{{- $_ := set .plain "AzureFunctionsWebHost__hostid" $id -}}
{{- $_ := set .plain "AzureFunctionsJobHost__logging__console__isEnabled" "true" -}}
{{- $_ := set .plain "ASPNETCORE_URLS" (printf "http://%s" (include "iot-connector.listen" .root)) -}}
{{- $_ := set .referring "ASPNETCORE_URLS" true -}}
{{- $largest := int64 $values.functionsHost.maxEventBatchSize -}}
{{- $batches := dict "maxEventBatchSize" ($largest | toString) -}}
{{- with .workload.spec -}}
{{- /* The host gathers, group-convert cuts what it is given into windows. */ -}}
{{- $seconds := int .window.seconds -}}
{{- $_ := set $batches "minEventBatchSize" (min $largest (int64 .window.maxEvents) | toString) -}}
{{- $_ := set $batches "maxWaitTime" (printf "%02d:%02d:%02d" (div $seconds 3600) (mod (div $seconds 60) 60) (mod $seconds 60)) -}}
{{- end -}}
{{- range $key, $value := $batches -}}
{{- $_ := set $.plain (printf "AzureFunctionsJobHost__extensions__eventHubs__%s" $key) $value -}}
{{- end -}}
{{- include "iot-connector.settings.hostStorage" . -}}
{{- if not (include "iot-connector.readsByConnection" .) -}}
{{- $_ := set .plain (printf "%s__fullyQualifiedNamespace" $hub.prefix) $hub.namespace -}}
{{- $identity := ternary $values.identity.external $values.identity.internal (eq $hub.authentication "ExternalIdentity") -}}
{{- $context := dict "plain" .plain "prefix" $hub.prefix "type" $hub.authentication "identity" $identity -}}
{{- include "iot-connector.settings.hostIdentity" $context -}}
{{- end -}}
{{- end }}

{{/* The host's own storage: where it keeps positions. */}}
{{- define "iot-connector.settings.hostStorage" -}}
{{- $values := .root.Values -}}
{{- if $values.storage.authentication.connectionString -}}
{{- $_ := set .secrets "AzureWebJobsStorage" $values.storage.authentication.connectionString -}}
{{- else -}}
{{- if or $values.storage.blobServiceUri (ne (include "iot-connector.cloud" .root) "AzurePublicCloud") -}}
{{- $_ := set .plain "AzureWebJobsStorage__blobServiceUri" (include "iot-connector.blobs" .root) -}}
{{- else -}}
{{- $_ := set .plain "AzureWebJobsStorage__accountName" $values.storage.accountName -}}
{{- end -}}
{{- $context := dict "plain" .plain "prefix" "AzureWebJobsStorage" "type" (include "iot-connector.storageAuthentication" .root) "identity" $values.identity.internal -}}
{{- include "iot-connector.settings.hostIdentity" $context -}}
{{- end -}}
{{- end }}

{{/* As whom the host opens something. Context: plain, prefix, type, identity. */}}
{{- define "iot-connector.settings.hostIdentity" -}}
{{- $kinds := dict "WorkloadIdentity" "workloadidentity" "ExternalIdentity" "workloadidentity" "ManagedIdentity" "managedidentity" -}}
{{- with get $kinds .type -}}
{{- $_ := set $.plain (printf "%s__credential" $.prefix) . -}}
{{- with $.identity.clientId -}}{{- $_ := set $.plain (printf "%s__clientId" $.prefix) . -}}{{- end -}}
{{- if eq $.type "ExternalIdentity" -}}
{{- with $.identity.tenantId -}}{{- $_ := set $.plain (printf "%s__tenantId" $.prefix) . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
