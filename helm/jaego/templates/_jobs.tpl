{{/*
A Job that may be repeated: (dict "root" $ "component" "migrate-sales" "weight" "-10" "image" .. "args" list "env" ".." "mounts" ".." "volumes" "..").
On install it runs beside everything else (the servers that it needs may be part of the release) and the services stay
not ready until it is done. On upgrade it is a hook that runs before anything is changed, so it may only read what the
release before has left: Secrets, no ConfigMap. A hook that failed is there to be read until the next one.
*/}}
{{- define "jaego.job" -}}
{{- $isHook := or (not .root.Release.IsInstall) (eq .root.Values.jobs.hooks "always") -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "jaego.fullname" .root }}-{{ .component }}-{{ ternary "upgrade" (toString .root.Release.Revision) $isHook }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels: {{- include "jaego.labels" . | nindent 4 }}
  {{- if $isHook }}
  annotations:
    helm.sh/hook: {{ ternary "pre-install,pre-upgrade" "pre-upgrade" (eq .root.Values.jobs.hooks "always") }}
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  {{- end }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: {{ .root.Values.jobs.deadlineSeconds }}
  template:
    metadata:
      labels: {{- include "jaego.labels" . | nindent 8 }}
    spec:
      # The pod of each try stays with its log.
      restartPolicy: Never
      serviceAccountName: {{ include "jaego.fullname" .root }}-jobs
      automountServiceAccountToken: false
      enableServiceLinks: false
      # What they do is done in transactions, or may be repeated: nothing is gained by waiting for an end.
      terminationGracePeriodSeconds: 5
      securityContext: {{- include "jaego.podSecurity" (dict "uid" 65532) | nindent 8 }}
      {{- include "jaego.imagePullSecrets" (dict "root" .root "image" .image) | nindent 6 }}
      {{- include "jaego.placement" (dict "of" .root.Values.jobs) | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "jaego.image" (dict "root" .root "image" .image) }}
          imagePullPolicy: {{ .image.pullPolicy }}
          args: {{- toYaml .args | nindent 12 }}
          env: {{- .env | nindent 12 }}
          resources: {{- toYaml .root.Values.jobs.resources | nindent 12 }}
          securityContext: {{- include "jaego.containerSecurity" . | nindent 12 }}
          volumeMounts: {{- .mounts | nindent 12 }}
      volumes: {{- .volumes | nindent 8 }}
{{- end -}}

{{/* The Secret and its key with the login of the role that owns a database: (dict "root" $ "component" "sales"). */}}
{{- define "jaego.ownerUrl" -}}
{{- with (index .root.Values .component).existingSecret -}}
{name: {{ . | quote }}, key: database-owner-url}
{{- else -}}
{name: {{ include "jaego.fullname" .root }}-owners, key: {{ .component }}-url}
{{- end -}}
{{- end -}}

{{/* One URL of each Secret that has it, as files: (dict "root" $ "key" "amqp-url"). */}}
{{- define "jaego.urlVolume" -}}
{{- $root := .root -}}
{{- $key := .key -}}
- name: urls
  projected:
    defaultMode: 0440
    sources:
      {{- range (list "sales" "production" "restock" (ternary "frontend" "access" (eq $key "amqp-url"))) }}
      - secret:
          name: {{ include "jaego.secretName" (dict "root" $root "component" .) | quote }}
          items: [{key: {{ $key }}, path: {{ . }}}]
      {{- if eq $key "database-url" }}
      {{- $owner := include "jaego.ownerUrl" (dict "root" $root "component" .) | fromYaml }}
      - secret:
          name: {{ $owner.name | quote }}
          items: [{key: {{ $owner.key }}, path: {{ . }}-owner}]
      {{- end }}
      {{- end }}
{{- end -}}
