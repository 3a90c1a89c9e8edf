{{- /* What the containers have in common that change a node. */ -}}
{{- define "spiderpool-ipam.rights" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
    # Root needs these to write to a CNI folder that belongs to another user (DAC_OVERRIDE), and to restore the
    # owner (CHOWN) and then the mode (FOWNER) of a file that it replaces.
    add: [CHOWN, DAC_OVERRIDE, FOWNER]
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError # `kubectl describe pod` shows why it failed
{{- end -}}

{{- /* On OpenShift the folder of plugins is below that of the results, so this one is first. */ -}}
{{- define "spiderpool-ipam.mounts" -}}
{{- if not (has "/var/lib/cni" (values .mounts)) -}}
- name: cni-results
  mountPath: /host/var/lib/cni
  readOnly: true
{{- end }}
{{- range $name, $path := .mounts }}
- name: {{ $name }}
  mountPath: /host{{ $path }}
{{- end }}
- name: state
  mountPath: /host/var/lib/spiderpool-ipam
- name: agent
  mountPath: /host/var/run/spidernet
  readOnly: true
- name: run
  mountPath: /run
{{- end -}}
