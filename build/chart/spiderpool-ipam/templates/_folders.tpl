{{- /*
The nodes' folders, as {bin, conf, flags, volumes}. Each platform's are where these say:
  k3s        https://docs.k3s.io/networking/multus-ipams
  microk8s   https://canonical.com/microk8s/docs/change-cidr
  openshift  DefaultCNIDirectories of github.com/tigera/operator, which installs Calico there
  gke        the same
Of the folder of configurations the parent is mounted, because the folder itself may be removed and created again. The
names of microk8s lead through the link `current`, which changes with each refresh of the snap, so what has the link is
mounted. Where one of the two folders is in what is mounted for the other, that is mounted once: Kubernetes refuses two
mounts at one path.
*/ -}}
{{- define "spiderpool-ipam.folders" -}}
{{- $platforms := dict
  "default" (list "/opt/cni/bin" "/etc/cni/net.d")
  "k3s" (list "/var/lib/rancher/k3s/data/cni" "/var/lib/rancher/k3s/agent/etc/cni/net.d")
  "microk8s" (list "/var/snap/microk8s/current/opt/cni/bin" "/var/snap/microk8s/current/args/cni-network")
  "openshift" (list "/var/lib/cni/bin" "/var/run/multus/cni/net.d")
  "gke" (list "/home/kubernetes/bin" "/etc/cni/net.d")
-}}
{{- $names := get $platforms .Values.platform -}}
{{- $bin := default (index $names 0) .Values.cniBinDir -}}
{{- $conf := default (index $names 1) .Values.cniConfDir -}}
{{- $parent := dir $conf -}}
{{- $mounts := dict "cni-bin" $bin "cni-conf" $parent -}}
{{- if hasPrefix (print $parent "/") (print $bin "/") -}}
{{- $mounts = dict "cni-conf" $parent -}}
{{- else if hasPrefix (print $bin "/") $parent -}}
{{- $mounts = dict "cni-bin" $bin -}}
{{- else if and (hasPrefix "/var/snap/microk8s/" $bin) (hasPrefix "/var/snap/microk8s/" $conf) -}}
{{- $mounts = dict "microk8s" "/var/snap/microk8s" -}}
{{- end -}}
{{- $flags := list -}}
{{- if ne (list $bin $conf | toJson) (get $platforms "default" | toJson) -}}
{{- $flags = list (print "--cni-bin-dir=" $bin) (print "--cni-conf-dir=" $conf) -}}
{{- end -}}
{{- dict "flags" $flags "mounts" $mounts | toJson -}}
{{- end -}}

{{- define "spiderpool-ipam.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ default $.Chart.AppVersion $.Values.image.tag }}{{ end }}
{{- end -}}
