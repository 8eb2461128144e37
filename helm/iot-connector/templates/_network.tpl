{{/* What a workload has to reach. Context everywhere: root, workload. */}}

{{/* The port of an address. */}}
{{- define "iot-connector.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $port | default (get (dict "http" "80" "https" "443" "amqp" "5672" "amqps" "5671") $url.scheme) -}}
{{- end }}

{{/* All addresses that a workload has to reach, as a JSON array. */}}
{{- define "iot-connector.addresses" -}}
{{- $values := .root.Values -}}
{{- $addresses := list
    $values.internalHub.customEndpoint
    (include "iot-connector.blobs" .root)
    $values.telemetry.otlpEndpoint
    $values.identity.external.authorityHost
    $values.identity.external.certificateUri -}}
{{- if eq .workload.component "normalize" -}}
{{- $addresses = append $addresses $values.source.customEndpoint -}}
{{- else -}}
{{- $addresses = concat $addresses (list .workload.spec.fhir.url .workload.spec.fhir.authentication.authority) -}}
{{- end -}}
{{- compact $addresses | toJson -}}
{{- end }}

{{/* The TCP ports, as a JSON array of texts. 443 is for tokens, blobs and key vaults, 5671 for hubs. */}}
{{- define "iot-connector.egressPorts" -}}
{{- $ports := list "443" "5671" -}}
{{- range include "iot-connector.addresses" . | fromJsonArray -}}
{{- $ports = append $ports (include "iot-connector.port" .) -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end }}

{{/*
The namespaces of Services of the cluster among the addresses, as a JSON array: `name`, which is of the own namespace,
`….namespace.svc` and `….namespace.svc.cluster.local`. Not `name.namespace`, for public names look so too, and a policy
opens all of a namespace.
*/}}
{{- define "iot-connector.serviceNamespaces" -}}
{{- $namespaces := list -}}
{{- range include "iot-connector.addresses" . | fromJsonArray -}}
{{- $label := "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" -}}
{{- $host := regexReplaceAll "[.]svc[.]cluster[.]local$" (lower (urlParse .).hostname | trimSuffix ".") ".svc" -}}
{{- if regexMatch (printf "^(%s[.])+%s[.]svc$" $label $label) $host -}}
{{- $namespaces = append $namespaces (index (splitList "." (trimSuffix ".svc" $host) | reverse) 0) -}}
{{- else if and (regexMatch (printf "^%s$" $label) $host) (ne $host "localhost") -}}
{{- $namespaces = append $namespaces $.root.Release.Namespace -}}
{{- end -}}
{{- end -}}
{{- $namespaces | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* "true" when tokens come from the machine's metadata service. */}}
{{- define "iot-connector.usesMetadataService" -}}
{{- $settings := (include "iot-connector.settings" . | fromJson).plain -}}
{{- range $name, $value := $settings -}}
{{- if and (has $value (list "ManagedIdentity" "managedidentity")) (regexMatch "__(AuthenticationType|credential)$" $name) -}}true{{- end -}}
{{- end -}}
{{- end }}
