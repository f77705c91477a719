{{/* The name of every object. */}}
{{- define "virt-otel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What the agent's pods are selected by; never changes while a release lives. */}}
{{- define "virt-otel.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "virt-otel.labels" -}}
{{ include "virt-otel.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "virt-otel.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "virt-otel.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name: name the account that is there, or let serviceAccount.create make one" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Whether metrics are pushed, and whether they are served; empty is no. */}}
{{- define "virt-otel.pushes" -}}{{ if has "otlp" .Values.exporters }}yes{{ end }}{{- end -}}
{{- define "virt-otel.serves" -}}{{ if has "prometheus" .Values.exporters }}yes{{ end }}{{- end -}}

{{/* How a monitor of the Prometheus operator scrapes. */}}
{{- define "virt-otel.scrape" -}}
- port: metrics
  # The series carry the namespace and node of their VM. Without this Prometheus would rename them to exported_…, since
  # what it says of the agent's own pod has the same names.
  honorLabels: true
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
{{- end -}}
