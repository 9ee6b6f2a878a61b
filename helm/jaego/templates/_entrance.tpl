{{/*
One way in from outside, as Ingress or as HTTPRoute:
(dict "root" $ "entrance" "factory" "component" "restock" "port" "public" "paths" (list "/") "host" "..").
What other paths lead to, if there are any: "others" (list (dict "component" .. "port" .. "paths" ..)).
*/}}
{{- define "jaego.entrance" -}}
{{- $of := index .root.Values.entrances .entrance -}}
{{- $full := include "jaego.fullname" .root -}}
{{- $routes := concat (default list .others) (list (dict "component" .component "port" .port "paths" .paths)) -}}
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
          {{- range $route := $routes }}
          {{- range $route.paths }}
          - path: {{ . }}
            pathType: Prefix
            backend:
              service: {name: {{ $full }}-{{ $route.component }}, port: {name: {{ $route.port }}}}
          {{- end }}
          {{- end }}
{{- else -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{- include "jaego.metadata" (dict "root" .root "component" .component "name" $name "annotations" $of.httpRoute.annotations) | nindent 2 }}
spec:
  parentRefs: {{- toYaml $of.httpRoute.parentRefs | nindent 4 }}
  hostnames: [{{ .host | quote }}]
  rules:
    {{- range $routes }}
    {{- $ports := (include "jaego.facts" . | fromYaml).ports }}
    - matches:
        {{- range .paths }}
        - path: {type: PathPrefix, value: {{ . }}}
        {{- end }}
      backendRefs:
        - {name: {{ $full }}-{{ .component }}, port: {{ index $ports .port }}}
    {{- end }}
{{- end -}}
{{- end -}}
