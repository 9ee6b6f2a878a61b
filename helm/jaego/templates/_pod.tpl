{{/* What Pod Security "restricted" asks of a pod. */}}
{{- define "jaego.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
fsGroup: {{ .uid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* And of a container. */}}
{{- define "jaego.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where a pod runs: (dict "root" $ "component" "sales" "of" .Values.sales). */}}
{{- define "jaego.placement" -}}
{{- with .of.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Volume and mount of the certificate authority of external servers. */}}
{{- define "jaego.caVolume" -}}
{{- with .Values.tls.caSecret.name }}
- name: ca
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0444
    items: [{key: {{ $.Values.tls.caSecret.key | quote }}, path: ca.crt}]
{{- end }}
{{- end -}}

{{- define "jaego.caMount" -}}
{{- if .Values.tls.caSecret.name }}
- {name: ca, mountPath: /etc/jaego/ca, readOnly: true}
{{- end }}
{{- end -}}

{{/* The Secret that holds a service's URLs (and callback keys): its own, or the one that the chart makes. */}}
{{- define "jaego.secretName" -}}
{{- $of := index .root.Values .component -}}
{{- default (printf "%s-%s" (include "jaego.fullname" .root) .component) $of.existingSecret -}}
{{- end -}}

{{- define "jaego.authSecretName" -}}
{{- default (printf "%s-auth" (include "jaego.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "jaego.operatorTokenSecretName" -}}
{{- default (printf "%s-operator-token" (include "jaego.fullname" .)) .Values.auth.operatorTokenSecret -}}
{{- end -}}
