{{/* A dashboard as a ConfigMap; call it with root and name. files/dashboards has deploy/grafana/kubevirt. */}}
{{- define "virt-otel.dashboard" -}}
{{- with .root.Values.dashboards -}}
{{- if .create -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "virt-otel.fullname" $.root }}-dashboard-{{ $.name }}
  namespace: {{ .namespace | default $.root.Release.Namespace }}
  labels:
    {{- include "virt-otel.labels" $.root | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
data:
  # The sidecar puts the files of all ConfigMaps into one folder.
  virt-otel-{{ $.name }}.json: |
{{ $.root.Files.Get (printf "files/dashboards/%s.json" $.name) | trimSuffix "\n" | indent 4 }}
{{- end -}}
{{- end -}}
{{- end -}}
