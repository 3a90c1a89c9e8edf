#!/bin/bash
# Build the Go programs that the tests run into .tools/bin, at pinned versions: cnitool, the reference plugins,
# upstream's plugin, kustomize, and helm. Prometheus, promtool and the Prometheus operator's definitions are put beside
# them.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || { echo "go is missing: install Go 1.25 or later" >&2; exit 1; }
export GOBIN=$PWD/.tools/bin GOFLAGS=-buildvcs=false
mkdir -p "$GOBIN"
go install github.com/containernetworking/cni/cnitool@v1.3.0
for plugin in main/ptp main/bridge main/macvlan meta/portmap meta/tuning ipam/host-local; do
    go install "github.com/containernetworking/plugins/plugins/$plugin@v1.9.1"
done
go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.0
CGO_ENABLED=0 go install -trimpath helm.sh/helm/v3/cmd/helm@v3.22.0
# Upstream's plugin is built from a module of our own, whose go.sum pins the checksums of its dependencies.
# It is linked as upstream ships it: with cgo and symbols it takes 6 to 11 per cent longer.
(cd tests/go/peer &&
    CGO_ENABLED=0 go build -ldflags "-s -w" -o "$GOBIN/spiderpool-go" github.com/spidernet-io/spiderpool/cmd/spiderpool)

# What a cluster with the Prometheus operator takes for a ServiceMonitor and a PrometheusRule.
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
source=$(cd "$GOBIN" && go mod download -json "$operator" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
for name in servicemonitors prometheusrules; do
    install -D --mode=644 "$source/example/prometheus-operator-crd/monitoring.coreos.com_$name.yaml" \
        "$GOBIN/definitions/$name.yaml"
done

# Debian's package is only unpacked, because it would start a server. Where there is no Debian, the tests of the metrics
# are skipped.
if ! [ -x "$GOBIN/promtool" ] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    download=$(mktemp -d "$GOBIN/download.XXXXXX")
    trap 'rm -rf "$download"' EXIT
    (cd "$download" && apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg-deb --extract ./*.deb .)
    mv "$download"/usr/bin/{prometheus,promtool} "$GOBIN"
fi
