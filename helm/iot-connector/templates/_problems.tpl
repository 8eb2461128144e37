{{/*
What the schema cannot say of the values. Every problem is reported at once, with the value's path and what was expected.
*/}}

{{/* Fails with all problems. Each template that makes objects begins with it, so that nothing else fails first. */}}
{{- define "iot-connector.validate" -}}
{{- include "iot-connector.once" (dict "root" . "key" "validate" "template" "iot-connector.validate.all" "context" .) -}}
{{- end }}

{{- define "iot-connector.validate.all" -}}
{{- $problems := list -}}
{{- range $kind := list "addresses" "names" "containers" "destinations" "mappings" "identity" "hubs" "loops" "storage" "secrets" "functions" "scaling" "ingest" "settings" -}}
{{- range splitList "\n" (include (printf "iot-connector.problems.%s" $kind) $) -}}
{{- with trim . -}}{{- $problems = append $problems (printf "- %s" .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n\nthe values are not usable:\n%s\n" (join "\n" (uniq .))) -}}
{{- end -}}
{{- end }}

{{/* Addresses are taken apart for the NetworkPolicy, so they are looked at before. */}}
{{- define "iot-connector.problems.addresses" -}}
{{- $addresses := dict
    "source.customEndpoint" .Values.source.customEndpoint
    "internalHub.customEndpoint" .Values.internalHub.customEndpoint
    "storage.blobServiceUri" .Values.storage.blobServiceUri
    "identity.external.certificateUri" .Values.identity.external.certificateUri
    "identity.external.authorityHost" .Values.identity.external.authorityHost
    "scaling.operator.url" .Values.scaling.operator.url
    "telemetry.otlpEndpoint" .Values.telemetry.otlpEndpoint -}}
{{- range $index, $destination := include "iot-connector.destinations" . | fromJsonArray -}}
{{- $_ := set $addresses (printf "destinations[%d].fhir.url" $index) .fhir.url -}}
{{- $_ := set $addresses (printf "destinations[%d].fhir.authentication.authority" $index) .fhir.authentication.authority -}}
{{- end -}}
{{- range $path, $address := $addresses }}
{{- with $address }}
{{- $host := regexReplaceAll "^[a-z]+://([^/]*).*$" . "${1}" }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $host) | default "1" | int }}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])" }}
{{- if not (regexMatch "^([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\\])(:[0-9]{1,5})?$" $host) }}
value `{{ $path }}` is `{{ . }}`; expected a host behind `://`, and behind that nothing, a port, or a path
{{- else if or (contains ".." $host) (and (regexMatch "^[0-9.]+(:[0-9]+)?$" $host) (not (regexMatch (printf "^(%s[.]){3}%s(:[0-9]+)?$" $octet $octet) $host))) }}
value `{{ $path }}` is `{{ . }}`; expected the name of a host, or its IP address
{{- else if or (lt $port 1) (gt $port 65535) }}
value `{{ $path }}` is `{{ . }}`; expected a port from 1 to 65535
{{- else if regexMatch "%([^0-9a-fA-F]|.[^0-9a-fA-F]|.?$)" . }}
value `{{ $path }}` is `{{ . }}`; expected two hexadecimal digits behind each `%`
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.names" -}}
{{- $seen := dict -}}
{{- range include "iot-connector.workloads" . | fromJsonArray }}
{{- $most := sub 63 (sub (len .positions) (len .base)) -}}
{{- if not (regexMatch "^[a-z0-9]+(-[a-z0-9]+)*$" .base) }}
value `{{ .path }}` gives the name `{{ .base }}`; expected lower-case letters, digits and single hyphens, since the container of positions is called so
{{- else if gt (len .base) (int $most) }}
value `{{ .path }}` gives the name `{{ .base }}` of {{ len .base }} characters; expected at most {{ $most }}: set it, or choose a shorter name for the release
{{- else if lt (len .positions) 3 }}
value `{{ .path }}` gives the name `{{ .base }}`; expected at least 3 characters, since the container of positions is called so
{{- end }}
{{- if hasKey $seen .name }}
value `{{ .path }}` gives the name `{{ .name }}`, as `{{ get $seen .name }}` does; expected another
{{- else if and .destination (include "iot-connector.isOfNormalize" (dict "root" $ "name" .name)) }}
value `{{ .path }}` gives the name `{{ .name }}`, which normalize has in one of its epochs; expected another
{{- end -}}
{{- $_ := set $seen .name .path -}}
{{- end -}}
{{- if eq (int .Values.http.port) (int .Values.telemetry.prometheus.port) }}
value `telemetry.prometheus.port` is {{ .Values.telemetry.prometheus.port }}, as `http.port` is; expected another
{{- end }}
{{- /* Probes come to the pod's address. */ -}}
{{- if regexMatch "^(127[.]|\\[?([0:]*:)0*1\\]?$|\\[?[0:]*:[fF]{4}:127[.])" .Values.http.listenAddress }}
value `http.listenAddress` is `{{ .Values.http.listenAddress }}`, where no probe arrives; expected no address on loopback
{{- end }}
{{- /* Keys that this chart writes itself would be there twice. */ -}}
{{- range $path, $map := dict "pod.labels" .Values.pod.labels "pod.annotations" .Values.pod.annotations "serviceAccount.annotations" .Values.serviceAccount.annotations }}
{{- range $key, $_ := $map }}
{{- if regexMatch "^(app[.]kubernetes[.]io/(name|instance|component|managed-by|version|part-of)|iot-connector/.+|azure[.]workload[.]identity/(use|client-id|tenant-id)|prometheus[.]io/(scrape|port|path)|aadpodidbinding|kubectl[.]kubernetes[.]io/default-container)$" $key }}
value `{{ $path }}` has `{{ $key }}`; expected none of the keys that this chart writes itself
{{- end }}
{{- end }}
{{- end }}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) }}
value `serviceAccount.name` is not set; expected the name of a ServiceAccount, since `serviceAccount.create` is `false`
{{- end }}
{{- end }}

{{/* "true" when normalize is called so, or its container of positions, in whatever epoch. Context: root, name. */}}
{{- define "iot-connector.isOfNormalize" -}}
{{- $base := (include "iot-connector.normalize" .root | fromJson).base -}}
{{- if or (eq .name $base) (regexMatch (printf "^%s-e[0-9]+$" (regexQuoteMeta $base)) .name) -}}true{{- end -}}
{{- end }}

{{/* Two that share a container would take each other's blobs for their own. */}}
{{- define "iot-connector.problems.containers" -}}
{{- $containers := .Values.storage.containers -}}
{{- $seen := dict -}}
{{- range include "iot-connector.workloads" . | fromJsonArray }}
{{- if hasPrefix "azure-webjobs-" .base }}
value `{{ .path }}` gives the name `{{ .base }}`; expected another, since containers that begin with `azure-webjobs-` are the Functions host's
{{- end }}
{{- $_ := set $seen .positions .path }}
{{- end }}
{{- $named := list
    (dict "path" "storage.containers.mappings" "name" $containers.mappings)
    (dict "path" "storage.containers.deadLetters" "name" $containers.deadLetters) -}}
{{- if $containers.parking -}}
{{- range include "iot-connector.destinations" . | fromJsonArray -}}
{{- $named = append $named (dict "path" "storage.containers.parking" "name" (printf "%s-%s" $containers.parking .name)) -}}
{{- end -}}
{{- end -}}
{{- range $named }}
{{- if hasKey $seen .name }}
value `{{ .path }}` gives the container `{{ .name }}`, as `{{ get $seen .name }}` does; expected another
{{- else if include "iot-connector.isOfNormalize" (dict "root" $ "name" .name) }}
value `{{ .path }}` gives the container `{{ .name }}`, where normalize has its positions in one of its epochs; expected another
{{- else if hasPrefix "azure-webjobs-" .name }}
value `{{ .path }}` gives the container `{{ .name }}`; expected another, since those that begin with `azure-webjobs-` are the Functions host's
{{- end }}
{{- $_ := set $seen .name .path }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.destinations" -}}
{{- $names := list -}}
{{- $groups := dict -}}
{{- $containers := .Values.storage.containers -}}
{{- range $index, $destination := include "iot-connector.destinations" . | fromJsonArray }}
{{- $path := printf "destinations[%d]" $index }}
{{- if has .name $names }}
value `{{ $path }}.name` is `{{ .name }}`, as of another destination; expected a name of its own
{{- end }}
{{- $group := lower (.consumerGroup | default (printf "dst-%s" .name)) }}
{{- if eq $group "$default" }}
value `{{ $path }}.consumerGroup` is `{{ .consumerGroup }}`; expected another: that one is everybody's, and who looks into the hub would hold this destination up
{{- end }}
{{- if hasKey $groups $group }}
value `{{ $path }}.consumerGroup` is `{{ $group }}`, as `{{ get $groups $group }}.consumerGroup` is; expected another, since a destination that shares one holds the other up
{{- end }}
{{- $_ := set $groups $group $path }}
{{- $names = append $names .name }}
{{- if $containers.parking }}
{{- $parking := printf "%s-%s" $containers.parking .name }}
{{- if gt (len $parking) 63 }}
value `storage.containers.parking` gives the container `{{ $parking }}` of {{ len $parking }} characters; expected at most 63
{{- end }}
{{- end }}
{{- $fhir := .fhir.authentication }}
{{- $type := include "iot-connector.fhirAuthentication" (dict "root" $ "destination" .) }}
{{- if eq $type "" }}
value `{{ $path }}.fhir.authentication.type` is not set; expected `ClientCredentials` or `None`, since `identity.type` is `None`
{{- else if and (eq $type "ExternalIdentity") (not $.Values.identity.external.clientId) }}
value `{{ $path }}.fhir.authentication.type` is `ExternalIdentity`; expected `identity.external.clientId` with its client id
{{- else if and (eq $type "WorkloadIdentity") (ne $.Values.identity.type "WorkloadIdentity") }}
value `{{ $path }}.fhir.authentication.type` is `WorkloadIdentity`; expected `identity.type` to be so too
{{- else if eq $type "ClientCredentials" }}
{{- range list "authority" "clientId" "clientSecret" }}
{{- if not (get $fhir .) }}
value `{{ $path }}.fhir.authentication.{{ . }}` is not set; expected one, since the type is `ClientCredentials`
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.mappings" -}}
{{- $mappings := dict "mappings.device" .Values.mappings.device }}
{{- range $index, $destination := include "iot-connector.destinations" . | fromJsonArray }}
{{- $_ := set $mappings (printf "destinations[%d].mapping" $index) $destination.mapping }}
{{- end }}
{{- range $path, $mapping := $mappings }}
{{- $given := compact (list (ternary "blob" "" (not (empty $mapping.blob))) (ternary "configMap.name" "" (not (empty $mapping.configMap.name))) (ternary "content" "" (not (empty $mapping.content)))) }}
{{- if gt (len $given) 1 }}
value `{{ $path }}` has `{{ join "` and `" $given }}`; expected only one of them
{{- end }}
{{- /* Whether it is a mapping is for the functions to say, which read it leniently; this is for who wrote a file's name. */ -}}
{{- with $mapping.content }}
{{- $start := . | trim | trimPrefix "\uFEFF" | trim | trunc 2 }}
{{- if gt (len .) 1048000 }}
value `{{ $path }}.content` has {{ len . }} bytes; expected at most 1048000, since a ConfigMap holds no more: use `blob`
{{- else if not (or (hasPrefix "{" $start) (has $start (list "//" "/*"))) }}
value `{{ $path }}.content` does not begin with `{` or a comment; expected the document itself
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.identity" -}}
{{- $identity := .Values.identity -}}
{{- $own := include "iot-connector.ownIdentity" . -}}
{{- if and $own (not $identity.internal.clientId) }}
value `identity.internal.clientId` is not set; expected the client id of the internal identity, since `identity.type` is `{{ $identity.type }}`
{{- end }}
{{- if and (eq $identity.type "AadPodIdentity") (not $identity.internal.resourceId) }}
value `identity.internal.resourceId` is not set; expected the resource id of the internal identity, since `identity.type` is `AadPodIdentity`
{{- end }}
{{- with $identity.external }}
{{- if and (not .clientId) (or .tenantId .certificateUri .authorityHost) }}
value `identity.external.clientId` is not set; expected the client id of the identity that the other values of `identity.external` are about
{{- end }}
{{- if and .certificateUri (not .tenantId) }}
value `identity.external.tenantId` is not set; expected the identity's tenant, since it shows a certificate
{{- end }}
{{- if and .certificateUri (not $own) }}
value `identity.type` is `None`; expected another, since the key vault of `identity.external.certificateUri` is opened as the internal identity
{{- end }}
{{- if and .clientId (not .certificateUri) (ne $identity.type "WorkloadIdentity") }}
value `identity.external.certificateUri` is not set; expected one, since an identity without a certificate is federated with the service account, which needs `identity.type` `WorkloadIdentity`
{{- end }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.hubs" -}}
{{- $hubs := dict
    "source" (dict "hub" .Values.source "type" (include "iot-connector.sourceAuthentication" .) "also" "`ConnectionString`")
    "internalHub" (dict "hub" .Values.internalHub "type" (.Values.internalHub.authentication.type | default (include "iot-connector.ownIdentity" .)) "also" "`Development`") -}}
{{- range $path, $it := $hubs }}
{{- $type := $it.type }}
{{- if eq $type "" }}
value `{{ $path }}.authentication.type` is not set; expected one such as {{ $it.also }}, since `identity.type` is `None`
{{- else if and (eq $type "ConnectionString") (not $it.hub.authentication.connectionString) }}
value `{{ $path }}.authentication.connectionString` is not set; expected a secret, since the type is `ConnectionString`
{{- else if and (eq $type "ExternalIdentity") (not $.Values.identity.external.clientId) }}
value `{{ $path }}.authentication.type` is `ExternalIdentity`; expected `identity.external.clientId` with its client id
{{- else if and (eq $type "WorkloadIdentity") (ne $.Values.identity.type "WorkloadIdentity") }}
value `{{ $path }}.authentication.type` is `WorkloadIdentity`; expected `identity.type` to be so too
{{- else if and (eq $type "Development") (not (regexMatch "^amqps?://(localhost|127[.]|\\[::1\\])" $it.hub.customEndpoint)) }}
value `{{ $path }}.customEndpoint` is `{{ $it.hub.customEndpoint }}`; expected an address on loopback such as `amqp://127.0.0.1:5672`, since the type is `Development`
{{- end }}
{{- end }}
{{- if eq (include "iot-connector.senderAuthentication" .) "" }}
value `identity.type` is `None`; expected another, since normalize sends to the internal hub with an identity only, and `internalHub.authentication.type` is not `Development`
{{- end }}
{{- $letters := .Values.deadLetters.eventHub }}
{{- if ne (empty $letters.name) (empty $letters.fullyQualifiedNamespace) }}
value `deadLetters.eventHub` has a name or a namespace; expected both or none
{{- end }}
{{- if and $letters.name (not (include "iot-connector.ownIdentity" .)) }}
value `deadLetters.eventHub.name` is set; expected an `identity.type` other than `None`, as which it is opened
{{- end }}
{{- end }}

{{/*
What is written must not come in again. Event Hubs does not tell letter cases of names apart. An `EntityPath` in a
connection string goes before the name and is not seen here.
*/}}
{{- define "iot-connector.problems.loops" -}}
{{- $seen := dict -}}
{{- $writes := dict
    "internalHub.eventHub" "normalize would read what it writes"
    "deadLetters.eventHub" "what is rejected would be read, and rejected, again and again" -}}
{{- range $it := list
    (dict "path" "source.eventHub" "hub" .Values.source.eventHub)
    (dict "path" "internalHub.eventHub" "hub" .Values.internalHub.eventHub)
    (dict "path" "deadLetters.eventHub" "hub" .Values.deadLetters.eventHub) }}
{{- $hub := lower (printf "%s/%s" $it.hub.fullyQualifiedNamespace $it.hub.name) }}
{{- if hasKey $seen $hub }}
value `{{ $it.path }}` is `{{ $hub }}`, as `{{ get $seen $hub }}` is; expected another hub: {{ get $writes $it.path }}
{{- end }}
{{- $_ := set $seen $hub $it.path }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.storage" -}}
{{- $storage := .Values.storage -}}
{{- $type := include "iot-connector.storageAuthentication" . -}}
{{- if not (or $storage.accountName $storage.blobServiceUri) }}
value `storage.accountName` is not set; expected the account's name, or `storage.blobServiceUri`
{{- end }}
{{- if eq $type "" }}
value `storage.authentication.type` is not set; expected `Sas`, since `identity.type` is `None`
{{- else if and (eq $type "Sas") (not $storage.authentication.sas) }}
value `storage.authentication.sas` is not set; expected a secret, since the type is `Sas`
{{- else if and (eq $type "WorkloadIdentity") (ne .Values.identity.type "WorkloadIdentity") }}
value `storage.authentication.type` is `WorkloadIdentity`; expected `identity.type` to be so too
{{- else if and (ne $type "Sas") (hasPrefix "http:" (include "iot-connector.blobs" .)) }}
value `storage.blobServiceUri` is `{{ $storage.blobServiceUri }}`; expected https, since tokens are not sent in plain text
{{- end }}
{{- end }}

{{- define "iot-connector.problems.secrets" -}}
{{- $vault := .Values.keyVault -}}
{{- range $path, $reference := include "iot-connector.secretReferences" . | fromJson }}
{{- if $reference.keyVaultSecret }}
{{- if not $vault.name }}
value `{{ $path }}` is the key vault's secret `{{ $reference.keyVaultSecret }}`; expected `keyVault.name` with the name of the vault
{{- else if not (or $vault.tenantId $.Values.identity.internal.tenantId) }}
value `keyVault.tenantId` is not set; expected the vault's tenant, or `identity.internal.tenantId`
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.functions" -}}
{{- $values := .Values -}}
{{- if eq .Values.front "functions" }}
{{- if and (eq (include "iot-connector.sourceAuthentication" .) "ExternalIdentity") .Values.identity.external.certificateUri }}
value `source.authentication.type` is `ExternalIdentity` with a certificate; expected the native front, or another type: the Functions host opens the hub, and not with a certificate
{{- end }}
{{- if and (eq (include "iot-connector.storageAuthentication" .) "Sas") (not .Values.storage.authentication.connectionString) }}
value `storage.authentication.connectionString` is not set; expected a secret, or an identity as `storage.authentication.type`: the Functions host takes no SAS
{{- end }}
{{- $size := mul (int64 .Values.functionsHost.maxEventBatchSize) (int64 .Values.functionsHost.largestEventBytes) }}
{{- if gt $size 67108864 }}
value `functionsHost.maxEventBatchSize` times `functionsHost.largestEventBytes` is {{ $size }}; expected at most 67108864 (64 MiB), above which the Functions host fails before it calls the function
{{- end }}
{{- range $path, $hub := dict "source" .Values.source "internalHub" .Values.internalHub }}
{{- if and (eq $hub.authentication.type "Development") (not $hub.authentication.connectionString) }}
value `{{ $path }}.authentication.connectionString` is not set; expected a secret, since the Functions host shows no made-up token
{{- end }}
{{- end }}
{{- range $index, $destination := include "iot-connector.destinations" . | fromJsonArray }}
{{- if gt (int64 .window.seconds) 600 }}
value `destinations[{{ $index }}].window.seconds` is {{ int64 .window.seconds }}; expected at most 600, which is as long as the Functions host gathers events
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.scaling" -}}
{{- $scaling := .Values.scaling -}}
{{- $storage := .Values.storage -}}
{{- $ofCloud := get (include "iot-connector.hubSuffixes" . | fromJson) (include "iot-connector.cloud" .) -}}
{{- if $scaling.enabled }}
{{- range $workload := include "iot-connector.workloads" . | fromJsonArray }}
{{- $context := dict "root" $ "workload" . }}
{{- $scale := include "iot-connector.scale" $context | fromJson }}
{{- $path := ternary "scaling.normalize" "scaling.groupConvert" (eq .component "normalize") }}
{{- if gt (int $scale.max) (int .hub.partitions) }}
value `{{ $path }}.maxReplicas` is {{ $scale.max }}; expected at most {{ .hub.partitions }}, the `{{ .hub.path }}.eventHub.partitionCount`, since a partition has one reader
{{- end }}
{{- if gt (int $scale.min) (int $scale.max) }}
value `{{ $path }}.minReplicas` is {{ $scale.min }}; expected at most {{ $scale.max }}, the most replicas
{{- end }}
{{- if eq $scaling.source "keda" }}
{{- $connection := printf "%s.authentication.connectionString" .hub.path }}
{{- if include "iot-connector.scalesByConnection" $context }}
{{- else if .hub.connectionString }}
value `storage.authentication.connectionString` is not set; expected a secret, or `scaling.source` `operator`: when KEDA opens a hub with a connection string (`{{ $connection }}`), it opens the storage so too
{{- else if or .hub.customEndpoint (eq .hub.authentication "Development") }}
value `{{ $connection }}` is not set; expected a secret, or `scaling.source` `operator`: KEDA dials no other address than the namespace's, and shows no made-up token
{{- else if not (contains "." .hub.namespace) }}
value `{{ .hub.path }}.eventHub.fullyQualifiedNamespace` is `{{ .hub.namespace }}`; expected a name with dots such as `contoso.servicebus.windows.net`
{{- else if and (not $storage.accountName) $storage.blobServiceUri }}
value `storage.accountName` is not set; expected the account's name, by which KEDA opens it
{{- else if not $storage.accountName }}
{{- else if ne (include "iot-connector.blobs" $) (printf "https://%s.blob.%s" $storage.accountName $storage.endpointSuffix) }}
value `storage.blobServiceUri` is `{{ $storage.blobServiceUri }}`; expected none, or connection strings of hub and storage, or `scaling.source` `operator`: KEDA's identity opens https://<accountName>.blob.<endpointSuffix> only
{{- end }}
{{- if and (ne $ofCloud (include "iot-connector.hubSuffix" .hub.namespace)) (not (include "iot-connector.scalesByConnection" $context)) }}
{{- include "iot-connector.problems.kedaHosts" $context }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq $scaling.source "operator" }}
{{- /* The operator reads Secrets of the namespace; the CSI driver's is there only while a pod is. */ -}}
{{- $opens := dict }}
{{- range $path, $hub := dict "source" .Values.source "internalHub" .Values.internalHub }}
{{- if has $hub.authentication.type (list "ConnectionString" "Development") }}
{{- $_ := set $opens (printf "%s.authentication.connectionString" $path) $hub.authentication.connectionString }}
{{- end }}
{{- end }}
{{- if eq (include "iot-connector.storageAuthentication" .) "Sas" }}
{{- $_ := set $opens "storage.authentication.sas" $storage.authentication.sas }}
{{- end }}
{{- range $path, $secret := $opens }}
{{- if ($secret | default dict).keyVaultSecret }}
value `{{ $path }}` is the key vault's secret `{{ $secret.keyVaultSecret }}`; expected a Secret of the namespace, or `scaling.source` `keda`: with no pod there is none of the key vault's, so the operator could never see what waits
{{- end }}
{{- end }}
{{- /* A managed identity is that of a node: the operator can be one of the pods, and none of those. */ -}}
{{- $external := and $.Values.identity.external.certificateUri (eq (include "iot-connector.ownIdentity" $) "ManagedIdentity") }}
{{- $types := dict "storage" (include "iot-connector.storageAuthentication" $) }}
{{- range include "iot-connector.workloads" . | fromJsonArray }}
{{- $_ := set $types .hub.path .hub.authentication }}
{{- end }}
{{- range $path, $type := $types }}
{{- if or (eq $type "ManagedIdentity") (and $external (eq $type "ExternalIdentity")) }}
value `{{ $path }}.authentication.type` is `{{ $type }}`; expected another, or `scaling.source` `keda`: the operator reads the lag as the connector's workload identity, and can be no managed identity of a node{{ if eq $type "ExternalIdentity" }}, as which `identity.external.certificateUri` is opened{{ end }} (`identity.type` is `{{ $.Values.identity.type }}`)
{{- end }}
{{- end }}
{{- if and $scaling.operator.token $scaling.operator.tokenValue }}
value `scaling.operator` has `token` and `tokenValue`; expected only one of them
{{- else if not (or $scaling.operator.token $scaling.operator.tokenValue) }}
value `scaling.operator.token` is not set; expected a secret, or `scaling.operator.tokenValue`
{{- end }}
{{- $tls := list $scaling.operator.caBundle $scaling.operator.clientCertificate $scaling.operator.clientKey }}
{{- if not (has (len (compact $tls)) (list 0 3)) }}
value `scaling.operator` has not all of `caBundle`, `clientCertificate` and `clientKey`; expected all or none, since KEDA takes none without the others
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
KEDA shows its own token to whatever host it is given, and it is more than a connector: it reads the hubs and accounts of
all. So a spec names hosts of Azure, and the platform all others. Context: root, workload.
*/}}
{{- define "iot-connector.problems.kedaHosts" -}}
{{- $listed := list -}}
{{- range .root.Values.scaling.keda.privateSuffixes -}}{{- $listed = append $listed (lower .) -}}{{- end -}}
{{- $hubs := values (include "iot-connector.hubSuffixes" . | fromJson) | sortAlpha -}}
{{- $accounts := keys (include "iot-connector.storageSuffixes" . | fromJson) | sortAlpha -}}
{{- $else := "connection strings of hub and storage, or `scaling.source` `operator`: KEDA shows its own identity there, so any other suffix is the platform's to list (`scaling.keda.privateSuffixes`)" -}}
{{- $suffix := include "iot-connector.hubSuffix" .workload.hub.namespace }}
{{- if and (contains "." .workload.hub.namespace) (not (has $suffix (concat $hubs $listed))) }}
value `{{ .workload.hub.path }}.eventHub.fullyQualifiedNamespace` is `{{ .workload.hub.namespace }}`; expected a name and one of the suffixes `{{ join "`, `" $hubs }}`, or {{ $else }}
{{- end }}
{{- $account := .root.Values.storage.endpointSuffix }}
{{- if not (has (lower $account) (concat $accounts $listed)) }}
value `storage.endpointSuffix` is `{{ $account }}`; expected one of `{{ join "`, `" $accounts }}`, or {{ $else }}
{{- end }}
{{- end }}

{{- define "iot-connector.problems.ingest" -}}
{{- $http := .Values.ingest.http -}}
{{- if $http.enabled }}
{{- if and $http.token $http.tokenValue }}
value `ingest.http` has `token` and `tokenValue`; expected only one of them
{{- else if not (or $http.token $http.tokenValue) }}
value `ingest.http.token` is not set; expected a secret, or `ingest.http.tokenValue`, since nothing is let in without a token
{{- end }}
{{- range list "host" "tlsSecretName" }}
{{- if not (get $http .) }}
value `ingest.http.{{ . }}` is not set; expected one
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
App settings that have a value of their own, which something else here is made from, too: all that this chart writes (a
test compares), and what would have the Functions host lose positions or events. A star stands for whatever follows; a name that is there itself goes before it.
*/}}
{{- define "iot-connector.ownedSettings" -}}
ASPNETCORE_URLS: http
"AzureFunctionsJobHost__customHandler__*": nothing, since it is the image's
AzureFunctionsJobHost__extensions__eventHubs__batchCheckpointFrequency: nothing, since a position is stored behind each batch
AzureFunctionsJobHost__extensions__eventHubs__enableCheckpointing: nothing, since a position is stored behind each batch
"AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions__*": nothing, since a hub without positions is read from its beginning
AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize: functionsHost.maxEventBatchSize
AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime: destinations[].window.seconds
AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize: destinations[].window.maxEvents
"AzureFunctionsJobHost__functions__*": nothing, since a workload is one function
AzureFunctionsJobHost__functionTimeout: nothing, since the functions count on its ten minutes
AzureFunctionsJobHost__logging__console__isEnabled: nothing, since it is the chart's
AzureFunctionsWebHost__hostid: nothing, since it is the same for all replicas
"AzureWebJobs__*": nothing, since a function that is switched off reads nothing
AzureWebJobsScriptRoot: front
AzureWebJobsSecretStorageType: nothing, since the root is read-only
AzureWebJobsStorage: storage
"AzureWebJobsStorage__*": storage
Checkpoint__BlobPrefix: storage
"CheckpointStorage__*": storage, normalize.workloadName and destinations[].workloadName
Connector__Name: connector.name
"DeadLetters__*": deadLetters and storage
EventBatching__FlushTimespan: destinations[].window.seconds
EventBatching__MaxBytes: destinations[].window.maxBytes
EventBatching__MaxEvents: destinations[].window.maxEvents
"ExternalIdentity__*": identity.external
FhirClient__UseManagedIdentity: destinations[].fhir.authentication.type
FhirService__AuthenticationType: destinations[].fhir.authentication.type
FhirService__Authority: destinations[].fhir.authentication.authority
FhirService__ClientId: destinations[].fhir.authentication.clientId
FhirService__ClientSecret: destinations[].fhir.authentication.clientSecret
FhirService__Resource: destinations[].fhir.audience
FhirService__Url: destinations[].fhir.url
FhirVersion: destinations[].fhir.version
FUNCTIONS_WORKER_RUNTIME: front
Http__Listen: http
Ingest__ConnectionType: nothing, since the hub is an Event Hub or speaks as one
Ingest__Epoch: source.epoch
Ingest__Token: ingest.http.token
InputEventHub: source.authentication.connectionString
"InputEventHub__*": source
InputEventHub__ConnectionString: source.authentication.connectionString
InputEventHub__EventHubConsumerGroup: source.eventHub.consumerGroup
InputEventHub__EventHubName: source.eventHub.name
InputEventHub__EventHubNamespaceFQDN: source.eventHub.fullyQualifiedNamespace
"InternalIdentity__*": identity.internal
K8S_NAMESPACE: nothing, since it is the pod's
K8S_POD_NAME: nothing, since it is the pod's
LOG_FORMAT: telemetry.logFormat
NormalizationEventHub: internalHub.authentication.connectionString
"NormalizationEventHub__*": internalHub
NormalizationEventHub__ConnectionString: internalHub.authentication.connectionString
NormalizationEventHub__EventHubConsumerGroup: destinations[].consumerGroup
NormalizationEventHub__EventHubName: internalHub.eventHub.name
NormalizationEventHub__EventHubNamespaceFQDN: internalHub.eventHub.fullyQualifiedNamespace
OTEL_EXPORTER_OTLP_ENDPOINT: telemetry.otlpEndpoint
OTEL_RESOURCE_ATTRIBUTES: nothing, since it names the pod
Parking__AuthenticationType: storage
Parking__BlobStorageContainerUri: storage.containers.parking
POD_IP: nothing, since it is the pod's
POD_NAMESPACE: nothing, since the Functions host would believe that it is App Service's own
Process__Name: nothing, since it is the pod's name
ResourceIdentity__DefaultDeviceIdentifierSystem: destinations[].identityResolution.deviceIdentifierSystem
ResourceIdentity__ResourceIdentityServiceType: destinations[].identityResolution.type
RUST_LOG: telemetry.logLevel
STORAGE_SAS: storage.authentication.sas
Telemetry__PrometheusAddress: http.listenAddress
Telemetry__PrometheusPort: telemetry.prometheus.port
Template__DeviceContent: mappings.device
Template__FhirMapping: destinations[].mapping
"TemplateStorage__*": mappings and storage
{{- end }}

{{- define "iot-connector.problems.settings" -}}
{{- $owned := dict -}}
{{- range $name, $value := include "iot-connector.ownedSettings" . | fromYaml -}}
{{- $_ := set $owned (lower $name) $value -}}
{{- end -}}
{{- $all := dict "settings" .Values.settings "normalize.settings" .Values.normalize.settings -}}
{{- range $index, $destination := include "iot-connector.destinations" . | fromJsonArray -}}
{{- $_ := set $all (printf "destinations[%d].settings" $index) $destination.settings -}}
{{- end -}}
{{- range $path, $settings := $all }}
{{- range $name, $value := $settings }}
{{- $parts := splitList "__" (lower $name) }}
{{- $expected := "" }}
{{- range $length := untilStep 1 (len $parts) 1 }}
{{- $expected = get $owned (printf "%s__*" (join "__" (slice $parts 0 $length))) | default $expected }}
{{- end }}
{{- with get $owned (lower $name) | default $expected }}
value `{{ $path }}.{{ $name }}` is set; expected {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- /* Names of settings are the same in any case, and a pod would have both. */ -}}
{{- range $workload := include "iot-connector.workloads" . | fromJsonArray }}
{{- $spellings := dict }}
{{- $settings := include "iot-connector.settings" (dict "root" $ "workload" .) | fromJson }}
{{- range $name := concat (keys $settings.plain) (keys $settings.secrets) | sortAlpha }}
{{- $lower := lower $name }}
{{- if hasKey $spellings $lower }}
app setting `{{ get $spellings $lower }}` is set as `{{ $name }}` too; expected one spelling
{{- end }}
{{- $_ := set $spellings $lower $name }}
{{- end }}
{{- end }}
{{- end }}
