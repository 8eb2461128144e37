{{/* What a workload has to reach. Context everywhere: root, workload. */}}

{{/* The port of an address. */}}
{{- define "iot-connector.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $port | default (get (dict "http" "80" "https" "443" "amqp" "5672" "amqps" "5671") $url.scheme) -}}
{{- end }}

{{/* The TCP ports, as a JSON array of texts. 443 is for tokens, blobs and key vaults, 5671 for hubs. */}}
{{- define "iot-connector.egressPorts" -}}
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
{{- $ports := list "443" "5671" -}}
{{- range compact $addresses -}}
{{- $ports = append $ports (include "iot-connector.port" .) -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* "true" when tokens come from the machine's metadata service. */}}
{{- define "iot-connector.usesMetadataService" -}}
{{- $settings := (include "iot-connector.settings" . | fromJson).plain -}}
{{- range $name, $value := $settings -}}
{{- if and (has $value (list "ManagedIdentity" "managedidentity")) (regexMatch "__(AuthenticationType|credential)$" $name) -}}true{{- end -}}
{{- end -}}
{{- end }}
