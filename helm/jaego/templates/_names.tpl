{{/* The name that everything of this release begins with. At most 36 characters: the longest suffix, a Job's of 27, still fits into 63. */}}
{{- define "jaego.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a Service or a NetworkPolicy finds pods by: (dict "root" $ "component" "sales"). Never changes. */}}
{{- define "jaego.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Those of the selector are fixed; the values' win over the usual ones: (dict "root" $ "component" "sales"), and if wanted "labels". */}}
{{- define "jaego.labels" -}}
{{- $fixed := include "jaego.selectorLabels" . | fromYaml -}}
{{- $usual := dict
      "app.kubernetes.io/part-of" "jaego"
      "app.kubernetes.io/version" .root.Chart.AppVersion
      "app.kubernetes.io/managed-by" .root.Release.Service
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- toYaml (merge (dict) $fixed (default dict .labels) .root.Values.commonLabels $usual) -}}
{{- end -}}

{{/* metadata of an object: (dict "root" $ "component" "sales"), and if wanted "name", "labels", "annotations". */}}
{{- define "jaego.metadata" -}}
name: {{ include "jaego.fullname" .root }}-{{ .name | default .component }}
namespace: {{ .root.Release.Namespace | quote }}
labels: {{- include "jaego.labels" . | nindent 2 }}
{{- with .annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image by digest, or else by tag: (dict "root" $ "image" .Values.sales.image). */}}
{{- define "jaego.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- $name := .image.repository -}}
{{- if $registry -}}{{- $name = printf "%s/%s" $registry .image.repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "jaego.imagePullSecrets" -}}
{{- with concat .root.Values.global.imagePullSecrets .image.pullSecrets | uniq }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
