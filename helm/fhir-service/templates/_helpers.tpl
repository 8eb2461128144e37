{{- define "fhir-service.selectorLabels" -}}
app.kubernetes.io/name: fhir-service
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "fhir-service.labels" -}}
{{ include "fhir-service.selectorLabels" . }}
app.kubernetes.io/component: fhir-server
app.kubernetes.io/part-of: iot-connector-for-fhir
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "fhir-service.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{- define "fhir-service.image" -}}
{{- $image := .Values.image -}}
{{- $repository := $image.repository | default (printf "iot-connector-for-fhir/fhir-%s" (lower .Values.fhirVersion)) -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* A number as a number, a percentage as text. */}}
{{- define "fhir-service.intOrPercent" -}}
{{- if hasSuffix "%" . }}{{ . | quote }}{{ else }}{{ . | int }}{{ end }}
{{- end }}

{{/* The settings of the server that the values above `environment` give, by the names that Microsoft's FHIR server reads. */}}
{{- define "fhir-service.ownSettings" -}}
{{- $v := .Values -}}
{{- $security := $v.authentication.enabled -}}
{{- $authorization := ternary $security $v.authorization.enabled (kindIs "invalid" $v.authorization.enabled) -}}
{{- $plain := dict
  "ASPNETCORE_URLS" (printf "http://+:%d" (int $v.service.targetPort))
  "ASPNETCORE_FORWARDEDHEADERS_ENABLED" "true"
  "DOTNET_EnableDiagnostics" "0"
  "FhirServer__Security__Enabled" (toString $security)
  "FhirServer__Security__Authorization__Enabled" (toString $authorization)
  "FhirServer__Operations__Export__Enabled" (toString $v.export.enabled)
  "FhirServer__Operations__Reindex__Enabled" (toString $v.reindex.enabled)
  "Logging__LogLevel__Default" $v.telemetry.logLevel
  "Telemetry__Provider" $v.telemetry.provider
  "PrometheusMetrics__enabled" (toString $v.telemetry.prometheus.enabled) -}}
{{- if $security -}}
  {{- $_ := set $plain "FhirServer__Security__Authentication__Authority" $v.authentication.authority -}}
  {{- $_ := set $plain "FhirServer__Security__Authentication__Audience" $v.authentication.audience -}}
{{- end -}}
{{- if $authorization -}}
  {{- $_ := set $plain "FhirServer__Security__Authorization__RolesClaim" $v.authorization.rolesClaim -}}
{{- end -}}
{{- with $v.audit.customHeaderPrefix -}}
  {{- $_ := set $plain "FhirServer__Audit__CustomAuditHeaderPrefix" . -}}
{{- end -}}
{{- if $v.telemetry.prometheus.enabled -}}
  {{- $_ := set $plain "PrometheusMetrics__port" ($v.telemetry.prometheus.port | int | toString) -}}
{{- end -}}
{{- if $v.export.enabled -}}
  {{- $_ := set $plain "FhirServer__Operations__Export__MaximumNumberOfConcurrentJobsAllowedPerInstance" ($v.export.maximumConcurrentJobs | int | toString) -}}
  {{- with $v.export.storageAccountUri -}}
    {{- $_ := set $plain "FhirServer__Operations__Export__StorageAccountUri" . -}}
  {{- end -}}
{{- end -}}
{{- if $v.reindex.enabled -}}
  {{- $_ := set $plain "FhirServer__Operations__Reindex__DefaultMaximumThreadsPerReindexJob" ($v.reindex.maximumThreads | int | toString) -}}
  {{- $_ := set $plain "FhirServer__Operations__Reindex__MaximumNumberOfResourcesPerQuery" ($v.reindex.maximumResourcesPerQuery | int | toString) -}}
  {{- $_ := set $plain "FhirServer__Operations__Reindex__QueryDelayIntervalInMilliseconds" ($v.reindex.queryDelayMilliseconds | int | toString) -}}
  {{- $_ := set $plain "FhirServer__Operations__Reindex__ConsecutiveFailuresThreshold" ($v.reindex.consecutiveFailuresThreshold | int | toString) -}}
{{- end -}}
{{- $secrets := dict -}}
{{- if ne $v.dataStore.type "Image" -}}
  {{- $_ := set $plain "DataStore" $v.dataStore.type -}}
{{- end -}}
{{- if eq $v.dataStore.type "SqlServer" -}}
  {{- $_ := set $plain "SqlServer__Initialize" (toString $v.dataStore.automaticSchema) -}}
  {{- $_ := set $plain "SqlServer__SchemaOptions__AutomaticUpdatesEnabled" (toString $v.dataStore.automaticSchema) -}}
  {{- $_ := set $secrets "SqlServer__ConnectionString" $v.dataStore.connectionString -}}
{{- else if eq $v.dataStore.type "CosmosDb" -}}
  {{- $_ := set $plain "CosmosDb__Host" $v.dataStore.host -}}
  {{- $_ := set $plain "CosmosDb__UseManagedIdentity" (toString (not $v.dataStore.key)) -}}
  {{- with $v.dataStore.key -}}{{- $_ := set $secrets "CosmosDb__Key" . -}}{{- end -}}
{{- end -}}
{{- with $v.telemetry.connectionString -}}{{- $_ := set $secrets "Telemetry__ConnectionString" . -}}{{- end -}}
{{- if $v.export.enabled -}}
  {{- with $v.export.storageAccountConnection -}}{{- $_ := set $secrets "FhirServer__Operations__Export__StorageAccountConnection" . -}}{{- end -}}
{{- end -}}
{{- dict "plain" $plain "secrets" $secrets | toJson -}}
{{- end }}

{{/* All settings of the server. No name is there twice: see fhir-service.validate. */}}
{{- define "fhir-service.settings" -}}
{{- $own := include "fhir-service.ownSettings" . | fromJson -}}
{{- dict "plain" (merge $own.plain .Values.environment) "secrets" (merge $own.secrets .Values.secretEnvironment) | toJson -}}
{{- end }}

{{/* Refuses what the schema cannot. */}}
{{- define "fhir-service.validate" -}}
{{- $v := .Values -}}
{{- $problems := list -}}
{{- if $v.authentication.enabled -}}
  {{- if or (not $v.authentication.authority) (not $v.authentication.audience) -}}
    {{- $problems = append $problems "authentication: authority and audience are needed, unless enabled is false" -}}
  {{- end -}}
{{- end -}}
{{- if and (not $v.authentication.enabled) $v.authorization.enabled -}}
  {{- $problems = append $problems "authorization.enabled: is true, but authentication.enabled is not: who is nobody has no roles" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.domain) -}}
  {{- $problems = append $problems "ingress.domain: is needed" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.tls.secretName) (not $v.ingress.allowPlainHttp) -}}
  {{- $problems = append $problems "ingress.tls.secretName: is needed, or allowPlainHttp where TLS ends before the Ingress" -}}
{{- end -}}
{{- if and (ne $v.identity.type "None") (not $v.identity.clientId) -}}
  {{- $problems = append $problems (printf "identity.clientId: is needed by type %s" $v.identity.type) -}}
{{- end -}}
{{- if and (eq $v.identity.type "AadPodIdentity") (not $v.identity.resourceId) -}}
  {{- $problems = append $problems "identity.resourceId: is needed by type AadPodIdentity" -}}
{{- end -}}
{{- if and (eq $v.dataStore.type "SqlServer") (not $v.dataStore.connectionString) -}}
  {{- $problems = append $problems "dataStore.connectionString: is needed by type SqlServer" -}}
{{- end -}}
{{- if and (eq $v.dataStore.type "CosmosDb") (not $v.dataStore.host) -}}
  {{- $problems = append $problems "dataStore.host: is needed by type CosmosDb" -}}
{{- end -}}
{{- if and (eq $v.dataStore.type "CosmosDb") (not $v.dataStore.key) (eq $v.identity.type "None") -}}
  {{- $problems = append $problems "dataStore.key: is needed by type CosmosDb, unless identity.type says who opens the account" -}}
{{- end -}}
{{- if and $v.export.enabled (eq (empty $v.export.storageAccountUri) (empty $v.export.storageAccountConnection)) -}}
  {{- $problems = append $problems "export: expected either storageAccountUri or storageAccountConnection" -}}
{{- end -}}
{{- if and $v.export.enabled $v.export.storageAccountUri (eq $v.identity.type "None") -}}
  {{- $problems = append $problems "export.storageAccountUri: is opened as the identity, and identity.type is None" -}}
{{- end -}}
{{- if and (eq $v.strategy.type "RollingUpdate") (regexMatch "^0+%?$" ($v.strategy.maxSurge | default "1")) (regexMatch "^0+%?$" ($v.strategy.maxUnavailable | default "0")) -}}
  {{- $problems = append $problems "strategy: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced" -}}
{{- end -}}
{{- if not (regexMatch "^([0-9]{0,9}|0*(100|[0-9]{1,2})%)$" $v.strategy.maxUnavailable) -}}
  {{- $problems = append $problems (printf "strategy.maxUnavailable: is %s; expected a number of pods, or at most 100%%" $v.strategy.maxUnavailable) -}}
{{- end -}}
{{- if not (regexMatch "^[0-9]{0,9}%?$" $v.strategy.maxSurge) -}}
  {{- $problems = append $problems (printf "strategy.maxSurge: is %s; expected less" $v.strategy.maxSurge) -}}
{{- end -}}
{{- if and (eq $v.strategy.type "Recreate") (or $v.strategy.maxSurge $v.strategy.maxUnavailable) -}}
  {{- $problems = append $problems "strategy: type Recreate knows no maxSurge and maxUnavailable" -}}
{{- end -}}
{{- if and $v.telemetry.prometheus.enabled (eq (int $v.telemetry.prometheus.port) (int $v.service.targetPort)) -}}
  {{- $problems = append $problems (printf "telemetry.prometheus.port: is %d, as service.targetPort is; expected another" (int $v.telemetry.prometheus.port)) -}}
{{- end -}}
{{- range $path, $map := dict "pod.labels" $v.pod.labels "pod.annotations" $v.pod.annotations "serviceAccount.annotations" $v.serviceAccount.annotations -}}
  {{- range $key, $_ := $map -}}
    {{- if regexMatch "^(app[.]kubernetes[.]io/(name|instance|component|managed-by|version|part-of)|checksum/roles|azure[.]workload[.]identity/(use|client-id|tenant-id)|prometheus[.]io/(scrape|port|path)|aadpodidbinding|kubectl[.]kubernetes[.]io/default-container)$" $key -}}
      {{- $problems = append $problems (printf "%s: has %s, which this chart writes itself" $path $key) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* Otherwise `authentication.enabled: true` could stand above a server that lets everybody in. The server reads names in any case. */ -}}
{{- $own := include "fhir-service.ownSettings" . | fromJson -}}
{{- $taken := dict -}}
{{- range concat (keys $own.plain) (keys $own.secrets) -}}
  {{- $_ := set $taken (lower .) "which this chart writes itself, from other values" -}}
{{- end -}}
{{- range $path := list "environment" "secretEnvironment" -}}
  {{- range $name, $_ := get $v $path -}}
    {{- /* Any of these goes before ASPNETCORE_URLS or beside it, and probes ask where that says. */ -}}
    {{- if and (regexMatch "^((aspnetcore_|dotnet_)?(urls|https?_ports)|kestrel__endpoints__.*)$" (lower $name)) (ne (lower $name) "aspnetcore_urls") -}}
      {{- $problems = append $problems (printf "%s: has %s, but service.targetPort says where the server listens" $path $name) -}}
    {{- end -}}
    {{- with get $taken (lower $name) -}}
      {{- $problems = append $problems (printf "%s: has %s, %s" $path $name .) -}}
    {{- end -}}
    {{- $_ := set $taken (lower $name) (printf "as %s has" $path) -}}
  {{- end -}}
{{- end -}}
{{- if gt (len .Release.Name) 50 -}}
  {{- $problems = append $problems "the release's name has more than 50 characters" -}}
{{- end -}}
{{- if $problems -}}
  {{- fail (printf "\n%s" (join "\n" $problems)) -}}
{{- end -}}
{{- end }}

{{/* What an AzureIdentityBinding selects pods by: a label's value, and no other release's of the cluster. */}}
{{- define "fhir-service.podIdentity" -}}
{{- $name := printf "%s-%s" .Release.Namespace .Release.Name -}}
{{- ternary $name (printf "%s-%s" (trunc 54 $name | trimSuffix "-") (sha256sum $name | trunc 8)) (le (len $name) 63) -}}
{{- end }}
