{{/*
What nobody gave is made once. A value that a Secret in the cluster has already is taken over from it; what is not
there is random. All Secrets of the release are worked out together and remembered while the release is rendered
(.Values.global.generated): each file is rendered for itself, and two would otherwise see different random values.
*/}}
{{- define "jaego.generate" -}}
{{- if not (hasKey .Values.global "generated") -}}
{{- $made := dict -}}
{{- $full := include "jaego.fullname" . -}}
{{- $_ := set .Values.global "generated" $made -}}
{{- $owners := dict -}}
{{- range $component := list "sales" "production" "restock" -}}
{{- if not (index $.Values $component).existingSecret -}}
{{- $old := dict "root" $ "name" (printf "%s-%s" $full $component) -}}
{{- $database := include "jaego.kept" (merge (dict "key" "database-password") $old) | default (randAlphaNum 32) -}}
{{- $amqp := include "jaego.kept" (merge (dict "key" "amqp-password") $old) | default (randAlphaNum 32) -}}
{{- $_ := set $made $component (dict
      "database-password" $database
      "amqp-password" $amqp
      "database-url" (printf "postgres://jaego_%s:%s@%s-postgresql:5432/jaego_%s?sslmode=disable" $component $database $full $component)
      "amqp-url" (printf "amqp://%s:%s@%s-rabbitmq:5672/%s" $component $amqp $full $.Values.rabbitmq.vhost)) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.access.existingSecret -}}
{{- $old := dict "root" $ "name" (printf "%s-access" $full) -}}
{{- $database := include "jaego.kept" (merge (dict "key" "database-password") $old) | default (randAlphaNum 32) -}}
{{- $_ := set $made "access" (dict
      "database-password" $database
      "database-url" (printf "postgres://jaego_access:%s@%s-postgresql:5432/jaego_access?sslmode=disable" $database $full)) -}}
{{- end -}}
{{- range $component := list "sales" "production" "restock" "access" -}}
{{- if not (index $.Values $component).existingSecret -}}
{{- $key := printf "%s-password" $component -}}
{{- $owner := include "jaego.kept" (dict "root" $ "name" (printf "%s-owners" $full) "key" $key) | default (randAlphaNum 32) -}}
{{- $_ := set $owners $key $owner -}}
{{- $_ := set $owners (printf "%s-url" $component) (printf "postgres://jaego_%s_owner:%s@%s-postgresql:5432/jaego_%s?sslmode=disable" $component $owner $full $component) -}}
{{- end -}}
{{- end -}}
{{- with $owners -}}
{{- $_ := set $made "owners" . -}}
{{- end -}}
{{- /* Also when it is not installed yet: its user is made with the others'. */ -}}
{{- if not .Values.frontend.existingSecret -}}
{{- $old := dict "root" $ "name" (printf "%s-frontend" $full) -}}
{{- $amqp := include "jaego.kept" (merge (dict "key" "amqp-password") $old) | default (randAlphaNum 32) -}}
{{- $_ := set $made "frontend" (dict
      "amqp-password" $amqp
      "amqp-url" (printf "amqp://frontend:%s@%s-rabbitmq:5672/%s" $amqp $full $.Values.rabbitmq.vhost)) -}}
{{- end -}}
{{- with $made.production -}}
{{- $key := include "jaego.kept" (dict "root" $ "name" (printf "%s-production" $full) "key" "callback-signing-key") | default (genPrivateKey "ed25519") | trim -}}
{{- $_ := set . "callback-signing-key" $key -}}
{{- with $made.restock -}}
{{- $public := include "jaego.kept" (dict "root" $ "name" (printf "%s-restock" $full) "key" "callback-public-keys") | default (include "jaego.publicKey" $key) | trim -}}
{{- $_ := set . "callback-public-keys" $public -}}
{{- end -}}
{{- end -}}
{{- if not .Values.auth.existingSecret -}}
{{- $token := include "jaego.kept" (dict "root" . "name" (printf "%s-operator-token" $full) "key" "token") | default (randAlphaNum 40) -}}
{{- $_ := set $made "operator-token" (dict "token" $token) -}}
{{- $tokens := include "jaego.kept" (dict "root" . "name" (printf "%s-auth" $full) "key" "tokens") | default (printf "operator:operator:%s" (sha256sum $token)) -}}
{{- $auth := dict "root" . "name" (printf "%s-auth" $full) -}}
{{- $credential := include "jaego.kept" (merge (dict "key" "program-credential") $auth) | default (randAlphaNum 48) -}}
{{- $credentials := include "jaego.kept" (merge (dict "key" "program-credentials") $auth) | default $credential -}}
{{- $_ := set $made "auth" (dict "tokens" $tokens "program-credential" $credential "program-credentials" $credentials) -}}
{{- end -}}
{{- if .Values.postgresql.bundled -}}
{{- $password := include "jaego.kept" (dict "root" . "name" (printf "%s-postgresql" $full) "key" "password") | default (randAlphaNum 32) -}}
{{- $_ := set $made "postgresql" (dict "password" $password "admin-url" (printf "postgres://postgres:%s@%s-postgresql:5432/postgres?sslmode=disable" $password $full)) -}}
{{- end -}}
{{- if .Values.rabbitmq.bundled -}}
{{- $password := include "jaego.kept" (dict "root" . "name" (printf "%s-rabbitmq" $full) "key" "password") | default (randAlphaNum 32) -}}
{{- $_ := set $made "rabbitmq" (dict
      "management-url" (printf "http://%s-rabbitmq:15672" $full)
      "username" "admin"
      "password" $password
      "default-user.conf" (printf "default_user = admin\ndefault_pass = %s\n" $password)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A value of a Secret that is there, or nothing: (dict "root" $ "name" .. "key" ..). */}}
{{- define "jaego.kept" -}}
{{- $secret := default dict (lookup "v1" "Secret" .root.Release.Namespace .name) -}}
{{- get (default dict $secret.data) .key | default "" | b64dec -}}
{{- end -}}

{{/*
The public half of an Ed25519 key, in PEM form. Templates cannot compute it, but they can make a certificate with the
key, and that holds it: in the DER form of a SubjectPublicKeyInfo, 12 fixed bytes (RFC 8410, section 4) and 32 of the key.
*/}}
{{- define "jaego.publicKey" -}}
{{- $certificate := genSelfSignedCertWithKey "jaego" nil nil 1 . -}}
{{- $der := regexReplaceAll "-----[A-Z ]+-----|\\s" $certificate.Cert "" | b64dec -}}
{{- $head := b64dec "MCowBQYDK2VwAyEA" -}}
{{- $tail := index (splitList $head $der) 1 -}}
{{- printf "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----" (b64enc (print $head (substr 0 32 $tail))) -}}
{{- end -}}

{{/* Changes with what a service reads from Secrets, so that its pods are replaced. */}}
{{- define "jaego.secretsChecksum" -}}
{{- include "jaego.generate" .root -}}
{{- $made := .root.Values.global.generated -}}
{{- $of := index .root.Values .component -}}
{{- $seen := list
      (ternary (get $made .component) (lookup "v1" "Secret" .root.Release.Namespace $of.existingSecret).data (empty $of.existingSecret))
      (ternary (get $made "auth") (lookup "v1" "Secret" .root.Release.Namespace .root.Values.auth.existingSecret).data (empty .root.Values.auth.existingSecret)) -}}
{{- if and (eq .component "access") .root.Values.access.identityProviderSecret -}}
{{- $seen = append $seen (lookup "v1" "Secret" .root.Release.Namespace .root.Values.access.identityProviderSecret).data -}}
{{- end -}}
{{- toJson $seen | sha256sum -}}
{{- end -}}
