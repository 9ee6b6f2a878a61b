{{/*
One program that serves. Ports, prefixes and key files are the program's, not a choice of who installs it; everything else is in
the values. Given as (include "jaego.facts" (dict "root" $ "component" "sales") | fromYaml).
*/}}
{{- define "jaego.facts" -}}
{{- if eq .component "sales" }}
prefix: JAEGO_SALES
ports: {api: 8080, public: 8081, admin: 9080}
secretKeys: [database-url, amqp-url]
{{- else if eq .component "production" }}
prefix: JAEGO_PRODUCTION
ports: {api: 8180, public: 8181, admin: 9180}
secretKeys: [database-url, amqp-url, callback-signing-key]
{{- else if eq .component "frontend" }}
prefix: JAEGO_FRONTEND
ports: {api: 8480, public: 8481, admin: 9480}
secretKeys: [amqp-url]
{{- else if eq .component "access" }}
prefix: JAEGO_ACCESS
ports: {api: 8380, public: 8381, admin: 9380}
secretKeys: [database-url]
{{- else }}
prefix: JAEGO_RESTOCK
ports: {api: 8280, public: 8281, admin: 9280}
secretKeys: [database-url, amqp-url, callback-public-keys]
{{- end }}
{{- end -}}

{{/* `true` if the frontend serves the console; otherwise nothing. */}}
{{- define "jaego.hasConsole" -}}
{{- if and .Values.frontend.enabled (ne (toString (default dict .Values.frontend.settings.console).enabled) "false") -}}true{{- end -}}
{{- end -}}

{{/* `true` if the program asks access-service, or is it: a frontend that serves the shop only has no credential for it. */}}
{{- define "jaego.usesAccess" -}}
{{- if or (ne .component "frontend") (include "jaego.hasConsole" .root) -}}true{{- end -}}
{{- end -}}

{{/* The service's config.toml: what the chart knows, under what the values say. */}}
{{- define "jaego.config" -}}
{{- $facts := include "jaego.facts" . | fromYaml -}}
{{- $of := index .root.Values .component -}}
{{- $known := dict "http" (dict "host" "0.0.0.0" "port" $facts.ports.api "public_port" $facts.ports.public "admin_port" $facts.ports.admin) -}}
{{- $proxies := .root.Values.entrances.trustedProxies -}}
{{- $_ := set $known.http "trusted_proxies" $proxies -}}
{{- $_ := set $known.http "trusted_hops" (ternary .root.Values.entrances.trustedHops 0 (empty $proxies)) -}}
{{- if .root.Values.tls.caSecret.name -}}
{{- if ne .component "frontend" -}}
{{- $_ := set $known "database" (dict "ca_file" "/etc/jaego/ca/ca.crt") -}}
{{- end -}}
{{- if ne .component "access" -}}
{{- $_ := set $known "amqp" (dict "ca_file" "/etc/jaego/ca/ca.crt") -}}
{{- end -}}
{{- end -}}
{{- if and (ne .component "access") (include "jaego.usesAccess" .) -}}
{{- $_ := set $known "access" (dict "url" (printf "http://%s-access:8380" (include "jaego.fullname" .root))) -}}
{{- end -}}
{{- with .root.Values.telemetry.otlpEndpoint -}}
{{- $_ := set $known "telemetry" (dict "otlp_endpoint" .) -}}
{{- end -}}
{{- if eq .component "production" -}}
{{- $_ := set $known "callback" (dict "base_url" (include "jaego.callbackBaseUrl" .root)) -}}
{{- with .root.Values.production.factoryNetworks -}}
{{- $_ := set $known "delivery" (dict "allowed_networks" .) -}}
{{- end -}}
{{- end -}}
{{- if eq .component "restock" -}}
{{- $entrances := .root.Values.entrances -}}
{{- $_ := set $known "callback" (dict "allowed_sources" $entrances.factory.allowedSources) -}}
{{- end -}}
{{- if eq .component "frontend" -}}
{{- $full := include "jaego.fullname" .root -}}
{{- $_ := set $known "services" (dict
      "sales_public_url" (printf "http://%s-sales:8081" $full)
      "sales_url" (printf "http://%s-sales:8080" $full)
      "production_url" (printf "http://%s-production:8180" $full)
      "restock_url" (printf "http://%s-restock:8280" $full)) -}}
{{- /* A cookie that is for https alone does not come back over an entrance without it. */ -}}
{{- $console := .root.Values.entrances.console -}}
{{- $_ := set $known "session" (dict "secure" (or (not $console.enabled) $console.tls.enabled)) -}}
{{- $isHttps := or .root.Values.entrances.shop.tls.enabled $console.tls.enabled -}}
{{- $_ := set $known "pages" (dict "hsts_max_age_s" (ternary .root.Values.entrances.hstsMaxAgeSeconds 0 $isHttps)) -}}
{{- end -}}
{{- include "jaego.toml" (mergeOverwrite $known (deepCopy $of.settings)) -}}
{{- end -}}

{{/* Sections of keys as TOML. Helm hands every number over as a float; the programs want whole numbers where they say so. */}}
{{- define "jaego.toml" -}}
{{- range $section, $keys := . }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if and (not (kindIs "slice" $value)) (not (kindIs "string" $value)) (not (kindIs "bool" $value)) }}
{{ $key }} = {{ if eq (float64 (int64 $value)) (float64 $value) }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}
{{- else }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{ end }}
{{- end -}}

{{/* Where factories call back. */}}
{{- define "jaego.callbackBaseUrl" -}}
{{- $factory := .Values.entrances.factory -}}
{{- if .Values.production.callbackBaseUrl -}}
{{- .Values.production.callbackBaseUrl -}}
{{- else -}}
{{- printf "%s://%s" (ternary "https" "http" $factory.tls.enabled) $factory.host -}}
{{- end -}}
{{- end -}}

{{/* Seconds until a pod is killed: the pause, three bounded steps of stopping, and room. Defaults as in default.toml. */}}
{{- define "jaego.gracePeriod" -}}
{{- $of := index .root.Values .component -}}
{{- $shutdown := default dict $of.settings.shutdown -}}
{{- $pause := int64 (get $shutdown "pre_stop_ms" | default 0) -}}
{{- $drain := int64 (get $shutdown "drain_ms" | default 20000) -}}
{{- add 10 (div (add $pause (mul 3 $drain) 999) 1000) -}}
{{- end -}}

{{- define "jaego.deployment" -}}
{{- $facts := include "jaego.facts" . | fromYaml -}}
{{- $of := index .root.Values .component -}}
{{- $root := .root -}}
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "jaego.metadata" . | nindent 2 }}
spec:
  {{- if eq $of.autoscaling.kind "none" }}
  replicas: {{ $of.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    # The new ones take over before the old ones go: both work on the same schema.
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels: {{- include "jaego.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "jaego.labels" (merge (dict "labels" $of.podLabels) .) | nindent 8 }}
      annotations:
        # A pod reads its settings and secrets once: when they change, it must be a new one.
        checksum/config: {{ include "jaego.config" . | sha256sum }}
        checksum/secrets: {{ include "jaego.secretsChecksum" . }}
        {{- with $of.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "jaego.fullname" .root }}-{{ .component }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "jaego.gracePeriod" . }}
      securityContext: {{- include "jaego.podSecurity" (dict "uid" 65532) | nindent 8 }}
      {{- include "jaego.imagePullSecrets" (dict "root" .root "image" $of.image) | nindent 6 }}
      {{- include "jaego.placement" (dict "of" $of) | nindent 6 }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "jaego.selectorLabels" $ | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ ternary .component (printf "%s-service" .component) (eq .component "frontend") }}
          image: {{ include "jaego.image" (dict "root" .root "image" $of.image) }}
          imagePullPolicy: {{ $of.image.pullPolicy }}
          args: [serve, --config, /etc/jaego/config/config.toml]
          env: {{- include "jaego.env" . | nindent 12 }}
          ports:
            {{- range $name, $port := $facts.ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}, protocol: TCP}
            {{- end }}
          startupProbe:
            httpGet: {path: /livez, port: admin}
            periodSeconds: 1
            failureThreshold: 30
          livenessProbe:
            httpGet: {path: /livez, port: admin}
            periodSeconds: 10
            timeoutSeconds: 3
          readinessProbe:
            httpGet: {path: /readyz, port: admin}
            periodSeconds: 3
            timeoutSeconds: 3
            failureThreshold: 2
          resources: {{- toYaml $of.resources | nindent 12 }}
          securityContext: {{- include "jaego.containerSecurity" . | nindent 12 }}
          volumeMounts: {{- include "jaego.mounts" . | nindent 12 }}
      volumes: {{- include "jaego.volumes" . | nindent 8 }}
{{- end -}}

{{/* The environment tells where the secrets are, nothing else. */}}
{{- define "jaego.env" -}}
{{- $facts := include "jaego.facts" . | fromYaml -}}
{{- if ne .component "frontend" }}
- {name: {{ $facts.prefix }}__DATABASE__URL_FILE, value: /etc/jaego/secrets/database-url}
{{- end }}
{{- if ne .component "access" }}
- {name: {{ $facts.prefix }}__AMQP__URL_FILE, value: /etc/jaego/secrets/amqp-url}
{{- if include "jaego.usesAccess" . }}
- {name: {{ $facts.prefix }}__ACCESS__CREDENTIAL_FILE, value: /etc/jaego/auth/program-credential}
{{- end }}
{{- else }}
- {name: {{ $facts.prefix }}__PROGRAMS__CREDENTIALS_FILE, value: /etc/jaego/auth/program-credentials}
{{- if .root.Values.access.identityProviderSecret }}
- {name: {{ $facts.prefix }}__OIDC__CLIENT_SECRET_FILE, value: /etc/jaego/oidc/client-secret}
- {name: {{ $facts.prefix }}__OIDC__SEALING_KEY_FILE, value: /etc/jaego/oidc/sealing-key}
{{- end }}
{{- end }}
{{- if ne .component "frontend" }}
- {name: {{ $facts.prefix }}__AUTH__TOKENS_FILE, value: /etc/jaego/auth/tokens}
{{- end }}
{{- if eq .component "production" }}
- {name: {{ $facts.prefix }}__CALLBACK__SIGNING_KEY_FILE, value: /etc/jaego/secrets/callback-signing-key}
{{- end }}
{{- if eq .component "restock" }}
- {name: {{ $facts.prefix }}__CALLBACK__PUBLIC_KEYS_FILE, value: /etc/jaego/secrets/callback-public-keys}
{{- end }}
{{- end -}}

{{- define "jaego.mounts" -}}
- {name: config, mountPath: /etc/jaego/config, readOnly: true}
- {name: secrets, mountPath: /etc/jaego/secrets, readOnly: true}
{{- if include "jaego.usesAccess" . }}
- {name: auth, mountPath: /etc/jaego/auth, readOnly: true}
{{- end }}
{{- if and (eq .component "access") .root.Values.access.identityProviderSecret }}
- {name: oidc, mountPath: /etc/jaego/oidc, readOnly: true}
{{- end }}
{{ include "jaego.caMount" .root | trim }}
{{- end -}}

{{- define "jaego.volumes" -}}
{{- $facts := include "jaego.facts" . | fromYaml -}}
- name: config
  configMap:
    name: {{ include "jaego.fullname" .root }}-{{ .component }}
- name: secrets
  secret:
    secretName: {{ include "jaego.secretName" . | quote }}
    defaultMode: 0440
    items:
      {{- range $facts.secretKeys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- if include "jaego.usesAccess" . }}
- name: auth
  secret:
    secretName: {{ include "jaego.authSecretName" .root | quote }}
    defaultMode: 0440
    items:
      {{- if ne .component "frontend" }}
      - {key: tokens, path: tokens}
      {{- end }}
      {{- $credential := ternary "program-credentials" "program-credential" (eq .component "access") }}
      - {key: {{ $credential }}, path: {{ $credential }}}
{{- end }}
{{- if and (eq .component "access") .root.Values.access.identityProviderSecret }}
- name: oidc
  secret:
    secretName: {{ .root.Values.access.identityProviderSecret | quote }}
    defaultMode: 0440
    items:
      - {key: client-secret, path: client-secret}
      - {key: sealing-key, path: sealing-key}
{{- end }}
{{ include "jaego.caVolume" .root | trim }}
{{- end -}}

{{- define "jaego.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata: {{- include "jaego.metadata" . | nindent 2 }}
data:
  config.toml: |
    {{- include "jaego.config" . | nindent 4 }}
{{- end -}}

{{- define "jaego.service" -}}
{{- $facts := include "jaego.facts" . | fromYaml -}}
{{- $of := index .root.Values .component -}}
apiVersion: v1
kind: Service
metadata: {{- include "jaego.metadata" (merge (dict "annotations" $of.serviceAnnotations) .) | nindent 2 }}
spec:
  type: ClusterIP
  selector: {{- include "jaego.selectorLabels" . | nindent 4 }}
  ports:
    - {name: api, port: {{ $facts.ports.api }}, targetPort: api, protocol: TCP, appProtocol: http}
    - {name: public, port: {{ $facts.ports.public }}, targetPort: public, protocol: TCP, appProtocol: http}
{{- end -}}

{{- define "jaego.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "jaego.metadata" . | nindent 2 }}
# Nothing here talks to Kubernetes.
automountServiceAccountToken: false
{{- end -}}

{{- define "jaego.podDisruptionBudget" -}}
{{- $of := index .root.Values .component -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "jaego.metadata" . | nindent 2 }}
spec:
  minAvailable: {{ $of.podDisruptionBudget.minAvailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "jaego.selectorLabels" . | nindent 6 }}
{{- end -}}
