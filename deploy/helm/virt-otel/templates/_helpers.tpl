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

{{/* The Secret with headers for the Collector; empty without one. */}}
{{- define "virt-otel.headers" -}}
{{- if include "virt-otel.pushes" . -}}{{ .Values.otlp.headers.secretName }}{{- end -}}
{{- end -}}

{{/* The Secret with the certificate of /metrics; empty without TLS. */}}
{{- define "virt-otel.webTls" -}}
{{- with .Values.web.tls -}}
{{- if .certManager.create -}}
{{- .secretName | default (printf "%s-web-tls" (include "virt-otel.fullname" $)) -}}
{{- else -}}
{{- .secretName -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The web configuration file; empty without one. */}}
{{- define "virt-otel.webConfig" -}}
{{- $tls := dict -}}
{{- if include "virt-otel.webTls" . -}}
{{- $tls = dict "cert_file" "/etc/virt-otel/web-tls/tls.crt" "key_file" "/etc/virt-otel/web-tls/tls.key" -}}
{{- with .Values.web.tls.clientAuthority -}}
{{- $tls = merge $tls (dict "client_auth_type" "RequireAndVerifyClientCert" "client_ca_file" (printf "/etc/virt-otel/web-tls/%s" .)) -}}
{{- end -}}
{{- end -}}
{{- $file := deepCopy .Values.web.config -}}
{{- if $tls -}}{{- $file = mergeOverwrite (dict "tls_server_config" $tls) $file -}}{{- end -}}
{{- if $file -}}{{- toYaml $file -}}{{- end -}}
{{- end -}}

{{/* The name by which the certificate is checked: agents are scraped by their addresses. */}}
{{- define "virt-otel.webName" -}}{{ include "virt-otel.fullname" . }}.{{ .Release.Namespace }}.svc{{- end -}}

{{/* How a monitor of the Prometheus operator scrapes. */}}
{{- define "virt-otel.scrape" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
- port: metrics
  # The series carry the namespace and node of their VM. Without this Prometheus would rename them to exported_…, since
  # what it says of the agent's own pod has the same names.
  honorLabels: {{ .honorLabels }}
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- if include "virt-otel.webTls" $root }}
  scheme: https
  tlsConfig:
    {{- if .tlsConfig }}
    {{- toYaml .tlsConfig | nindent 4 }}
    {{- else }}
    # The authority that the Secret names; cert-manager puts it there.
    ca:
      secret:
        name: {{ include "virt-otel.webTls" $root }}
        key: ca.crt
    serverName: {{ include "virt-otel.webName" $root }}
    {{- end }}
  {{- end }}
  {{- with .authorization }}
  authorization:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
