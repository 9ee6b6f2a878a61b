{{/*
Who may talk to whom, once: each edge gives an egress rule to `from` and an ingress rule to `to`. What has no edge is
not allowed. A side is a component of this release, or peers of the outside as NetworkPolicy writes them (empty: any).
*/}}
{{- define "jaego.edges" -}}
{{- $values := .Values -}}
{{- $peers := $values.networkPolicy.peers -}}
{{- $edges := list -}}
{{- if $values.entrances.shop.enabled -}}
{{- $edges = append $edges (dict "fromPeers" $peers.shopEntrance "to" "sales" "ports" (list 8081)) -}}
{{- end -}}
{{- if $values.frontend.enabled -}}
{{- if $values.entrances.shop.enabled -}}
{{- $edges = append $edges (dict "fromPeers" $peers.shopEntrance "to" "frontend" "ports" (list 8481)) -}}
{{- end -}}
{{- if $values.entrances.console.enabled -}}
{{- $edges = append $edges (dict "fromPeers" $peers.consoleEntrance "to" "frontend" "ports" (list 8480)) -}}
{{- end -}}
{{- if include "jaego.hasConsole" . -}}
{{- with $peers.operators -}}
{{- $edges = append $edges (dict "fromPeers" . "to" "frontend" "ports" (list 8480)) -}}
{{- end -}}
{{- end -}}
{{- with $peers.monitoring -}}
{{- $edges = append $edges (dict "fromPeers" . "to" "frontend" "ports" (list 9480)) -}}
{{- end -}}
{{- $edges = append $edges (dict "from" "frontend" "to" "sales" "ports" (list 8081)) -}}
{{- if include "jaego.hasConsole" . -}}
{{- $edges = append $edges (dict "from" "frontend" "to" "sales" "ports" (list 8080)) -}}
{{- $edges = append $edges (dict "from" "frontend" "to" "production" "ports" (list 8180)) -}}
{{- $edges = append $edges (dict "from" "frontend" "to" "restock" "ports" (list 8280)) -}}
{{- $edges = append $edges (dict "from" "frontend" "to" "access" "ports" (list 8380)) -}}
{{- end -}}
{{- if $values.rabbitmq.bundled -}}
{{- $edges = append $edges (dict "from" "frontend" "to" "rabbitmq" "ports" (list 5672)) -}}
{{- else -}}
{{- $edges = append $edges (dict "from" "frontend" "toPeers" $peers.rabbitmq "ports" (list (int $values.rabbitmq.port))) -}}
{{- end -}}
{{- if $values.telemetry.otlpEndpoint -}}
{{- $edges = append $edges (dict "from" "frontend" "toPeers" $peers.telemetry "ports" (list (include "jaego.urlPort" $values.telemetry.otlpEndpoint | int))) -}}
{{- end -}}
{{- end -}}
{{- if $values.entrances.factory.enabled -}}
{{- $edges = append $edges (dict "fromPeers" $peers.factoryEntrance "to" "restock" "ports" (list 8281)) -}}
{{- end -}}
{{- range $component, $ports := dict "sales" (list 8080 9080) "production" (list 8180 9180) "restock" (list 8280 9280) "access" (list 8380 9380) -}}
{{- if $values.entrances.operations.enabled -}}
{{- $edges = append $edges (dict "fromPeers" $peers.operationsEntrance "to" $component "ports" (list (index $ports 0))) -}}
{{- end -}}
{{- with $peers.operators -}}
{{- $edges = append $edges (dict "fromPeers" . "to" $component "ports" (list (index $ports 0))) -}}
{{- end -}}
{{- with $peers.monitoring -}}
{{- $edges = append $edges (dict "fromPeers" . "to" $component "ports" (list (index $ports 1))) -}}
{{- end -}}
{{- if $values.postgresql.bundled -}}
{{- $edges = append $edges (dict "from" $component "to" "postgresql" "ports" (list 5432)) -}}
{{- else -}}
{{- $edges = append $edges (dict "from" $component "toPeers" $peers.postgresql "ports" (list (int $values.postgresql.port))) -}}
{{- end -}}
{{- if ne $component "access" -}}
{{- $edges = append $edges (dict "from" $component "to" "access" "ports" (list 8380)) -}}
{{- if $values.rabbitmq.bundled -}}
{{- $edges = append $edges (dict "from" $component "to" "rabbitmq" "ports" (list 5672)) -}}
{{- else -}}
{{- $edges = append $edges (dict "from" $component "toPeers" $peers.rabbitmq "ports" (list (int $values.rabbitmq.port))) -}}
{{- end -}}
{{- end -}}
{{- if $values.telemetry.otlpEndpoint -}}
{{- $edges = append $edges (dict "from" $component "toPeers" $peers.telemetry "ports" (list (include "jaego.urlPort" $values.telemetry.otlpEndpoint | int))) -}}
{{- end -}}
{{- $job := printf "migrate-%s" $component -}}
{{- if $values.postgresql.bundled -}}
{{- $edges = append $edges (dict "from" $job "to" "postgresql" "ports" (list 5432)) -}}
{{- else -}}
{{- $edges = append $edges (dict "from" $job "toPeers" $peers.postgresql "ports" (list (int $values.postgresql.port))) -}}
{{- end -}}
{{- if and $values.tests.enabled (ne $component "access") -}}
{{- $edges = append $edges (dict "from" "test" "to" $component "ports" (list (index $ports 0))) -}}
{{- end -}}
{{- end -}}
{{- $edges = append $edges (dict "from" "production" "toPeers" $peers.factories "ports" $values.networkPolicy.factoryPorts) -}}
{{- with (default dict $values.access.settings.oidc).issuer -}}
{{- $edges = append $edges (dict "from" "access" "toPeers" $peers.identityProvider "ports" (list (include "jaego.urlPort" . | int))) -}}
{{- end -}}
{{- if $values.postgresql.bundled -}}
{{- $edges = append $edges (dict "from" "database" "to" "postgresql" "ports" (list 5432)) -}}
{{- end -}}
{{- if $values.rabbitmq.topology.enabled -}}
{{- if $values.rabbitmq.bundled -}}
{{- $edges = append $edges (dict "from" "topology" "to" "rabbitmq" "ports" (list 15672)) -}}
{{- else -}}
{{- $edges = append $edges (dict "from" "topology" "toPeers" $peers.rabbitmq "ports" (list (int $values.rabbitmq.managementPort))) -}}
{{- end -}}
{{- end -}}
{{- if eq $values.production.autoscaling.kind "KEDA" -}}
{{- if $values.postgresql.bundled -}}
{{- $edges = append $edges (dict "fromPeers" $peers.keda "to" "postgresql" "ports" (list 5432)) -}}
{{- end -}}
{{- if $values.rabbitmq.bundled -}}
{{- $edges = append $edges (dict "fromPeers" $peers.keda "to" "rabbitmq" "ports" (list 15672)) -}}
{{- end -}}
{{- end -}}
{{- if $values.tests.enabled -}}
{{- $edges = append $edges (dict "from" "test" "to" "restock" "ports" (list 8281)) -}}
{{- $edges = append $edges (dict "from" "production" "to" "test" "ports" (list 8090)) -}}
{{- end -}}
{{- toYaml $edges -}}
{{- end -}}

{{/* The port of an http or https URL. */}}
{{- define "jaego.urlPort" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "443" "80" (eq $url.scheme "https")) $port -}}
{{- end -}}

{{- define "jaego.rulePorts" -}}
ports:
{{- range . }}
  - {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}

{{/* All components that have pods. */}}
{{- define "jaego.components" -}}
{{- $all := list "sales" "production" "restock" "access" "migrate-sales" "migrate-production" "migrate-restock" "migrate-access" -}}
{{- if .Values.frontend.enabled -}}{{- $all = append $all "frontend" -}}{{- end -}}
{{- if .Values.postgresql.bundled -}}{{- $all = concat $all (list "postgresql" "database") -}}{{- end -}}
{{- if .Values.rabbitmq.bundled -}}{{- $all = append $all "rabbitmq" -}}{{- end -}}
{{- if .Values.rabbitmq.topology.enabled -}}{{- $all = append $all "topology" -}}{{- end -}}
{{- if .Values.tests.enabled -}}{{- $all = append $all "test" -}}{{- end -}}
{{- toYaml $all -}}
{{- end -}}
