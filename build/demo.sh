#!/bin/bash
# Show the plugin at work, without Kubernetes and without root. Usage: demo.sh TREE. `make demo` runs this.
# Everything that it writes is in one temporary folder, which it removes at the end.
set -euo pipefail

tree=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/spiderpool-demo.XXXXXX")
agent=
finish() {
    if [ -n "$agent" ]; then
        kill "$agent" 2>/dev/null || true
        wait "$agent" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
print_title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

print_title "The embedded agent serves a pool of addresses, 10.244.100.10-10.244.100.200"
cat >"$work/pool.yaml" <<'YAML'
apiVersion: spiderpool.spidernet.io/v1
kind: SpiderIPPool
metadata:
  name: default-ipv4-ippool
spec:
  default: true
  ipVersion: 4
  subnet: 10.244.0.0/16
  ips:
  - 10.244.100.10-10.244.100.200
YAML
mkfifo "$work/ready"
"$tree/spiderpool-ipam" agent --socket "$work/agent.sock" --pool "$work/pool.yaml" --state "$work/state" \
    >"$work/ready" 2>"$work/agent.log" &
agent=$!
read -r line <"$work/ready" || { cat "$work/agent.log" >&2; exit 1; }
echo "${line//$work/…}"

print_title "Calico's configuration names spiderpool as its IPAM plugin"
cat >"$work/10-calico.conflist" <<JSON
{
  "name": "k8s-pod-network",
  "cniVersion": "0.4.0",
  "plugins": [
    {
      "type": "calico",
      "datastore_type": "kubernetes",
      "ipam": {
        "type": "spiderpool",
        "ipam_unix_socket_path": "$work/agent.sock",
        "log_file_path": "$work/spiderpool.log"
      },
      "policy": {"type": "k8s"},
      "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}
    },
    {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}
  ]
}
JSON
sed -n '8,12p' "$work/10-calico.conflist" | sed "s|$work|…|"

attach() {
    "$tree/spiderpool-ipam" attach "$@" --conf "$work/10-calico.conflist" --cni-path "$tree" --state "$work/results"
}
print_title "Two pods each get an address (ADD), have it checked (CHECK), and release it (DEL)"
for pod in default/spiderpool-deploy-1 default/spiderpool-deploy-2; do
    attach add --pod "$pod"
done
for pod in default/spiderpool-deploy-1 default/spiderpool-deploy-2; do
    attach check --pod "$pod"
    attach del --pod "$pod"
done

print_title "The plugin's log has one line for each call"
sed -E 's/("containerID":"[0-9a-f]{8})[0-9a-f]+/\1…/; s/,"podUID":""//' "$work/spiderpool.log"

print_title "Done. The agent is stopped, and all files are removed"
