{{/*
One way in from outside, as Ingress or as HTTPRoute:
(dict "root" $ "entrance" "factory" "component" "restock" "port" "public" "paths" (list "/callbacks/v1/") "host" "..").
*/}}
{{- define "jaego.entrance" -}}
{{- $of := index .root.Values.entrances .entrance -}}
{{- $service := printf "%s-%s" (include "jaego.fullname" .root) .component -}}
{{- $name := .name | default .entrance -}}
{{- if eq $of.kind "Ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{- include "jaego.metadata" (dict "root" .root "component" .component "name" $name "annotations" $of.ingress.annotations) | nindent 2 }}
spec:
  {{- with $of.ingress.className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  {{- if and $of.tls.enabled $of.tls.secretName }}
  tls:
    - hosts: [{{ .host | quote }}]
      secretName: {{ $of.tls.secretName | quote }}
  {{- end }}
  rules:
    - host: {{ .host | quote }}
      http:
        paths:
          {{- range .paths }}
          - path: {{ . }}
            pathType: Prefix
            backend:
              service: {name: {{ $service }}, port: {name: {{ $.port }}}}
          {{- end }}
{{- else -}}
{{- $ports := (include "jaego.facts" . | fromYaml).ports -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{- include "jaego.metadata" (dict "root" .root "component" .component "name" $name "annotations" $of.httpRoute.annotations) | nindent 2 }}
spec:
  parentRefs: {{- toYaml $of.httpRoute.parentRefs | nindent 4 }}
  hostnames: [{{ .host | quote }}]
  rules:
    - matches:
        {{- range .paths }}
        - path: {type: PathPrefix, value: {{ . }}}
        {{- end }}
      backendRefs:
        - {name: {{ $service }}, port: {{ index $ports .port }}}
{{- end -}}
{{- end -}}
