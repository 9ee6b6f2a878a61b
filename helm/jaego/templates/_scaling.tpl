{{/* HorizontalPodAutoscaler by CPU. */}}
{{- define "jaego.hpa" -}}
{{- $scale := (index .root.Values .component).autoscaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{- include "jaego.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "jaego.fullname" .root }}-{{ .component }}}
  minReplicas: {{ $scale.minReplicas }}
  maxReplicas: {{ $scale.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $scale.cpuPercent }}}
  behavior: {{- include "jaego.scalingBehavior" . | nindent 4 }}
{{- end -}}

{{/* Up at once, down slowly: a surge comes in waves. */}}
{{- define "jaego.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies: [{type: Percent, value: 100, periodSeconds: 15}]
scaleDown:
  stabilizationWindowSeconds: 300
  policies: [{type: Pods, value: 1, periodSeconds: 60}]
{{- end -}}

{{/* KEDA: (dict "root" $ "component" "sales" "triggers" "...yaml..."). */}}
{{- define "jaego.scaledObject" -}}
{{- $scale := (index .root.Values .component).autoscaling -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{- include "jaego.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "jaego.fullname" .root }}-{{ .component }}}
  minReplicaCount: {{ $scale.minReplicas }}
  maxReplicaCount: {{ $scale.maxReplicas }}
  pollingInterval: 15
  {{- if contains "AverageValue" .triggers }}
  # When a scaler cannot be asked, what ran goes on. (CPU is asked of Kubernetes itself; KEDA refuses this for it alone.)
  fallback: {failureThreshold: 3, replicas: {{ $scale.minReplicas }}, behavior: currentReplicasIfHigher}
  {{- end }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: {{- include "jaego.scalingBehavior" . | nindent 8 }}
  triggers: {{- .triggers | nindent 4 }}
{{- end -}}
