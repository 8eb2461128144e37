{{/*
References of secrets: {secretName, secretKey} or {keyVaultSecret}.

A pod reads a secret of the key vault from a Secret that the CSI driver makes while the vault is mounted; KEDA reads
the vault itself, since with no pod there is no such Secret.
*/}}

{{/* All references, by the path of their value, as JSON. */}}
{{- define "iot-connector.secretReferences" -}}
{{- $references := dict
    "source.authentication.connectionString" (.Values.source.authentication.connectionString | default dict)
    "internalHub.authentication.connectionString" (.Values.internalHub.authentication.connectionString | default dict)
    "storage.authentication.sas" (.Values.storage.authentication.sas | default dict)
    "storage.authentication.connectionString" (.Values.storage.authentication.connectionString | default dict)
    "scaling.operator.token" (.Values.scaling.operator.token | default dict)
    "ingest.http.token" (.Values.ingest.http.token | default dict) -}}
{{- range $index, $destination := include "iot-connector.destinations" . | fromJsonArray -}}
{{- $_ := set $references (printf "destinations[%d].fhir.authentication.clientSecret" $index) ($destination.fhir.authentication.clientSecret | default dict) -}}
{{- end -}}
{{- $references | toJson -}}
{{- end }}

{{/* The names of key vault secrets that a workload reads, as a JSON array. Context: root, workload. */}}
{{- define "iot-connector.vaultSecrets" -}}
{{- $names := list -}}
{{- range $name, $reference := (include "iot-connector.settings" . | fromJson).secrets -}}
{{- with $reference.keyVaultSecret -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- $names | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* `secretKeyRef` of a reference. Context: workload, reference. */}}
{{- define "iot-connector.secretKeyRef" -}}
{{- with .reference.keyVaultSecret -}}
name: {{ printf "%s-keyvault" $.workload.name | quote }}
key: {{ . | quote }}
{{- else -}}
name: {{ .reference.secretName | quote }}
key: {{ .reference.secretKey | quote }}
{{- end -}}
{{- end }}

{{/* Parameters of a TriggerAuthentication. Context: root, parameters ({parameter: reference}). */}}
{{- define "iot-connector.triggerSecrets" -}}
{{- $ofCluster := dict -}}
{{- $ofVault := dict -}}
{{- range $parameter, $reference := .parameters -}}
{{- $_ := set (ternary $ofVault $ofCluster (hasKey $reference "keyVaultSecret")) $parameter $reference -}}
{{- end -}}
{{- with $ofCluster }}
secretTargetRef:
{{- range $parameter, $reference := . }}
  - parameter: {{ $parameter | quote }}
    name: {{ $reference.secretName | quote }}
    key: {{ $reference.secretKey | quote }}
{{- end }}
{{- end }}
{{- with $ofVault }}
azureKeyVault:
  vaultUri: {{ printf "https://%s.%s" $.root.Values.keyVault.name (include "iot-connector.vaultSuffix" $.root) | quote }}
  podIdentity:
    provider: azure-workload
    {{- with $.root.Values.scaling.keda.identityId }}
    identityId: {{ . | quote }}
    {{- end }}
  secrets:
{{- range $parameter, $reference := . }}
    - parameter: {{ $parameter | quote }}
      name: {{ $reference.keyVaultSecret | quote }}
{{- end }}
{{- end }}
{{- end }}
