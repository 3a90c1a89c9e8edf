#!/bin/bash
# Build the programs that `make lab` runs into .tools/lab: Calico's, SpiderPool's agent, controller and chart, and
# Debian's BIRD 1.6, which Calico's BIRD was forked from. Go's own caches keep the downloads and what is compiled.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || { echo "go is missing: install Go 1.25 or later to build Calico for the lab" >&2; exit 1; }
command -v dpkg-deb >/dev/null || { echo "dpkg-deb is missing: the lab needs a Debian, for its BIRD 1.6" >&2; exit 1; }
out=$PWD/.tools/lab
calico=github.com/projectcalico/calico
spiderpool=github.com/spidernet-io/spiderpool
export GOFLAGS="-buildvcs=false -trimpath -p=2" CGO_ENABLED=0
mkdir -p "$out"

step() { # NAME COMMAND...: run a command, and print how long it took
    local started=$SECONDS
    making=$1
    shift
    "$@"
    echo "  $making: $((SECONDS - started)) s"
    making=
}
making=
trap '[ -z "$making" ] || echo "$making could not be made; what is above says why" >&2' EXIT

program() { # MODULE PACKAGE NAME: build one package of a module of tests/go, whose go.sum pins all that goes into it
    (cd "tests/go/$1" && go build -mod=readonly -o "$out/$3" "$2")
}

source_of() { # MODULE PATH: print where Go has unpacked a module that one of tests/go requires
    (cd "tests/go/$1" && go mod download "$2" && go list -mod=readonly -m -f '{{.Dir}}' "$2")
}

copy() { # SOURCE NAME: copy a file or folder of a module. Go's cache is read-only, the copy is not.
    rm -rf "${out:?}/$2"
    cp -rL "$1" "$out/$2"
    chmod -R u+w "$out/$2"
}

calico_files() {
    local source
    source=$(source_of calico "$calico")
    copy "$source/confd/etc/calico/confd" confd-templates
    copy "$source/manifests/crds.yaml" calico-crds.yaml
    ln -sf calico "$out/calico-ipam" # One program, which does what it is called.
}

spiderpool_files() {
    local source
    source=$(source_of peer "$spiderpool")
    copy "$source/charts/spiderpool" spiderpool-chart
    copy "$source/charts/spiderpool/crds" spiderpool-crds
}

bird() { # The package cannot be installed beside bird2, so it is only unpacked.
    rm -rf "$out/bird" "$out/download"
    mkdir "$out/download"
    (cd "$out/download" && apt-get -qq -o APT::Sandbox::User=root download bird)
    dpkg-deb --extract "$out"/download/bird_1.6.*.deb "$out/bird"
    rm -r "$out/download"
}

step calico program calico $calico/cni-plugin/cmd/calico calico
step calico-install program calico $calico/cni-plugin/cmd/install calico-install
step confd program calico $calico/confd confd
step calicoctl program calico $calico/calicoctl/calicoctl calicoctl
step "calico's templates and CRDs" calico_files
step spiderpool-agent program peer $spiderpool/cmd/spiderpool-agent spiderpool-agent
step spiderpool-controller program peer $spiderpool/cmd/spiderpool-controller spiderpool-controller
step "spiderpool's chart and CRDs" spiderpool_files
step "BIRD 1.6" bird
