"""Calico's conflist in the forms that the tests of the installer know."""

CALICO = """{
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "plugins": [
    {"type":"calico", "mtu": 0,   "ipam": { "type": "calico-ipam" },
     "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}},
    {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}
  ]
}
"""
SWAPPED = CALICO.replace('{ "type": "calico-ipam" }', '{"type": "spiderpool"}')
GO_IPAM = '{"type":"spiderpool", "default_ipv4_ippool":["blue"], "log_level":"INFO"}'
GO = CALICO.replace('{ "type": "calico-ipam" }', GO_IPAM)  # a node that ran the Go plugin
NEWER = CALICO.replace('"mtu": 0', '"mtu": 1450')
