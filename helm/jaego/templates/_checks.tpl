{{/* What a schema cannot say, each with what to do about it. */}}
{{- define "jaego.checks" -}}
{{- $problems := list -}}
{{- $entrances := .Values.entrances -}}
{{- $full := include "jaego.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $full) -}}
{{- $problems = append $problems (printf "Objects would be called %s-..., which is no name for a Service: choose a release name, or set fullnameOverride, of letters, digits and hyphens that begins with a letter." $full) -}}
{{- end -}}
{{- if not (or $entrances.shop.enabled $entrances.factory.enabled) -}}
{{- $problems = append $problems "entrances.shop.enabled and entrances.factory.enabled are both false: nobody could order and no factory could call back. Enable at least one." -}}
{{- end -}}
{{- if and (not $entrances.factory.enabled) (not .Values.production.callbackBaseUrl) -}}
{{- $problems = append $problems "entrances.factory.enabled is false: set production.callbackBaseUrl to the address under which factories reach restock-service's public port." -}}
{{- end -}}
{{- range $name := list "shop" "factory" "operations" "console" -}}
{{- $entrance := index $entrances $name -}}
{{- if and $entrance.enabled (eq $entrance.kind "HTTPRoute") (empty $entrance.httpRoute.parentRefs) -}}
{{- $problems = append $problems (printf "entrances.%s.kind is HTTPRoute: name the Gateway in entrances.%s.httpRoute.parentRefs." $name $name) -}}
{{- end -}}
{{- if and $entrance.enabled (eq $entrance.kind "Ingress") $entrance.tls.enabled (empty $entrance.tls.secretName) (not $entrance.tls.endsBefore) -}}
{{- $problems = append $problems (printf "entrances.%s.tls.enabled is true: name the certificate's Secret in entrances.%s.tls.secretName, or set entrances.%s.tls.endsBefore when a load balancer in front has it." $name $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $entrances.factory.enabled $entrances.factory.allowedSources (eq (int $entrances.trustedHops) 0) (empty $entrances.trustedProxies) -}}
{{- $problems = append $problems "entrances.factory.allowedSources is set, but entrances.trustedHops is 0 and entrances.trustedProxies is empty: every callback would count as the entrance's own and be refused. Set the number of proxies in entrances.trustedHops." -}}
{{- end -}}
{{- if and $entrances.shop.enabled $entrances.factory.enabled (eq $entrances.shop.host $entrances.factory.host) -}}
{{- $problems = append $problems "entrances.factory.host must differ from entrances.shop.host: the Factory has an entrance of its own." -}}
{{- end -}}
{{- range $name := list "console" "operations" -}}
{{- $peers := printf "%sEntrance" $name -}}
{{- if and (index $entrances $name).enabled $.Values.networkPolicy.enabled (empty (index $.Values.networkPolicy.peers $peers)) -}}
{{- $problems = append $problems (printf "entrances.%s.enabled is true: name the ingress controller's or Gateway's pods in networkPolicy.peers.%s. An empty list would let anybody in the cluster to operators' endpoints." $name $peers) -}}
{{- end -}}
{{- end -}}
{{- if and (default dict .Values.access.settings.oidc).issuer (not .Values.access.identityProviderSecret) -}}
{{- $problems = append $problems "access.settings.oidc.issuer is set: put the client's secret and a key into a Secret and name it in access.identityProviderSecret (keys: client-secret, sealing-key)." -}}
{{- end -}}
{{- if and $entrances.console.enabled (not .Values.frontend.enabled) -}}
{{- $problems = append $problems "entrances.console.enabled is true, but frontend.enabled is false: there is no console to lead to." -}}
{{- end -}}
{{- if and $entrances.console.enabled .Values.frontend.enabled (not (include "jaego.hasConsole" .)) -}}
{{- $problems = append $problems "entrances.console.enabled is true, but frontend.settings.console.enabled is false: there is no console to lead to." -}}
{{- end -}}
{{- if and $entrances.console.enabled (or (and $entrances.shop.enabled (eq $entrances.console.host $entrances.shop.host)) (and $entrances.factory.enabled (eq $entrances.console.host $entrances.factory.host))) -}}
{{- $problems = append $problems "entrances.console.host must differ from entrances.shop.host and entrances.factory.host: operators have an entrance of their own." -}}
{{- end -}}
{{- range $component := (ternary (list "sales" "production" "restock" "access" "frontend") (list "sales" "production" "restock" "access") .Values.frontend.enabled) -}}
{{- $of := index $.Values $component -}}
{{- $scale := $of.autoscaling -}}
{{- $least := $of.replicas | int -}}
{{- if ne $scale.kind "none" -}}
{{- $least = $scale.minReplicas | int -}}
{{- if lt ($scale.maxReplicas | int) $least -}}
{{- $problems = append $problems (printf "%s.autoscaling.maxReplicas is below %s.autoscaling.minReplicas: raise the one or lower the other." $component $component) -}}
{{- end -}}
{{- end -}}
{{- if and (gt $least 1) (ge ($of.podDisruptionBudget.minAvailable | int) $least) -}}
{{- $problems = append $problems (printf "%s.podDisruptionBudget.minAvailable must be below the number of replicas (%d): otherwise no node could ever be drained." $component $least) -}}
{{- end -}}
{{- if and (eq $least 1) (gt ($of.podDisruptionBudget.minAvailable | int) 0) -}}
{{- $problems = append $problems (printf "%s.podDisruptionBudget.minAvailable must be 0 with one replica: otherwise its node could never be drained. Or run 2." $component) -}}
{{- end -}}
{{- if and $of.existingSecret (ne $component "frontend") (or $.Values.postgresql.bundled $.Values.jobs.schemaOwner) -}}
{{- $secret := lookup "v1" "Secret" $.Release.Namespace $of.existingSecret -}}
{{- if and $secret (not (hasKey (default dict $secret.data) "database-owner-url")) -}}
{{- $problems = append $problems (printf "%s.existingSecret: the Secret %s has no key database-owner-url, the login of the role that owns the database, which only the migrations use (`jaegoctl database apply` makes it). Add it, or set jobs.schemaOwner to false where %s-service's own role owns everything." $component $of.existingSecret $component) -}}
{{- end -}}
{{- end -}}
{{- if not $of.existingSecret -}}
{{- range $server := (index (dict "frontend" (list "rabbitmq") "access" (list "postgresql")) $component | default (list "postgresql" "rabbitmq")) -}}
{{- if not (index $.Values $server).bundled -}}
{{- $whose := ternary "the frontend's URL" (printf "%s-service's URLs" $component) (eq $component "frontend") -}}
{{- $problems = append $problems (printf "%s.bundled is false: put %s into a Secret and name it in %s.existingSecret (keys: %s)." $server $whose $component (join ", " (include "jaego.facts" (dict "component" $component) | fromYaml).secretKeys)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if ne (empty .Values.production.existingSecret) (empty .Values.restock.existingSecret) -}}
{{- $problems = append $problems "production.existingSecret and restock.existingSecret go together: the one holds the private key of callback tokens, the other the public key that belongs to it." -}}
{{- end -}}
{{- if and .Values.rabbitmq.topology.enabled (not .Values.rabbitmq.bundled) (empty .Values.rabbitmq.topology.existingSecret) -}}
{{- $problems = append $problems "rabbitmq.bundled is false: name the Secret of the user that makes queues in rabbitmq.topology.existingSecret (keys: management-url, username, password), or set rabbitmq.topology.enabled to false when somebody else makes them." -}}
{{- end -}}
{{- $keda := .Values.production.autoscaling -}}
{{- if and (eq $keda.kind "KEDA") (empty $keda.keda.existingSecret) -}}
{{- $problems = append $problems "production.autoscaling.kind is KEDA: name the Secret with its two addresses in production.autoscaling.keda.existingSecret (keys: postgresql-connection, rabbitmq-host)." -}}
{{- end -}}
{{- $memory := (default dict .Values.rabbitmq.resources.limits).memory | default "" | toString -}}
{{- if and .Values.rabbitmq.bundled $memory (not (regexMatch "^[0-9]+(k|Ki|M|Mi|G|Gi)?$" $memory)) -}}
{{- $problems = append $problems "rabbitmq.resources.limits.memory is told to RabbitMQ, which reads whole numbers: write 1536Mi instead of 1.5Gi." -}}
{{- end -}}
{{- if and (eq .Values.jobs.hooks "always") (or .Values.postgresql.bundled .Values.rabbitmq.bundled) -}}
{{- $problems = append $problems "jobs.hooks is always: Jobs before the installation would wait for servers that come with it. Set postgresql.bundled and rabbitmq.bundled to false and give servers of your own." -}}
{{- end -}}
{{- if and .Values.tests.enabled .Values.auth.existingSecret (empty .Values.auth.operatorTokenSecret) -}}
{{- $problems = append $problems "auth.existingSecret is set: `helm test` needs an operator's token; name its Secret in auth.operatorTokenSecret (key: token), or set tests.enabled to false." -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}
