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
{{- $hsts := int .root.Values.entrances.hstsMaxAgeSeconds -}}
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
      {{- if and $of.tls.enabled (gt $hsts 0) }}
      filters:
        - type: ResponseHeaderModifier
          responseHeaderModifier:
            set: [{name: Strict-Transport-Security, value: "max-age={{ $hsts }}"}]
      {{- end }}
      backendRefs:
        - {name: {{ $full }}-{{ .component }}, port: {{ index $ports .port }}}
    {{- end }}
{{- if .root.Values.entrances.envoyGateway.enabled }}
---
{{ include "jaego.backendTrafficPolicy" (merge (dict "name" $name) .) }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
Bounds at the edge, for a route of Envoy Gateway. The Factory's entrance has no rate limit, because a callback that is
refused is lost, and waits as long as restock-service holds a callback.
*/}}
{{- define "jaego.backendTrafficPolicy" -}}
{{- $edge := .root.Values.entrances.envoyGateway -}}
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{- include "jaego.metadata" (dict "root" .root "component" .component "name" .name) | nindent 2 }}
spec:
  targetRefs:
    - {group: gateway.networking.k8s.io, kind: HTTPRoute, name: {{ include "jaego.fullname" .root }}-{{ .name }}}
  # Envoy's own defaults (1,024) are fewer than the browsers that follow live events.
  circuitBreaker: {maxConnections: 4096, maxPendingRequests: 4096, maxParallelRequests: 4096}
  timeout:
    http:
      # 0s: live events go on; the programs bound all other requests themselves.
      requestTimeout: {{ ternary "45s" "0s" (eq .entrance "factory") }}
  {{- if and (eq .entrance "shop") (gt (int $edge.requestsPerMinute) 0) }}
  rateLimit:
    type: Local
    local:
      rules:
        {{- range list "0.0.0.0/0" "::/0" }}
        - clientSelectors:
            - sourceCIDR: {type: Distinct, value: {{ . | quote }}}
          limit: {requests: {{ int $edge.requestsPerMinute }}, unit: Minute}
        {{- end }}
  {{- end }}
{{- end -}}
