#!/bin/bash
# Run Debian's containerd in namespaces of this script's own, import a container image, and run it for each platform:
# containerd.sh FOLDER ARCHIVE IMAGE NAMESPACE. It expects a folder node-ARCH in FOLDER for each, and installs there.
set -euo pipefail
folder=$1 archive=$2 image=$3 namespace=$4

mkdir "$folder"/{run,lib}
mount --bind "$folder/run" /run
mount --bind "$folder/lib" /var/lib
# native: the folder may be on an overlay file system, on which overlayfs does not work. The others cannot be here.
cat >"$folder/containerd.toml" <<EOF
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
EOF
containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
trap 'kill $!' EXIT

ctr() { command timeout 200 ctr --namespace="$namespace" "$@"; }

for ((tries = 0; tries < 300; tries++)); do
    if ctr version >/dev/null 2>&1; then break; fi
    sleep 0.1
done
ctr images import --all-platforms --snapshotter=native "$archive" >/dev/null
ctr images list
for arch in amd64 arm64; do
    run=(run --rm --snapshotter=native "--platform=linux/$arch")
    program=/spiderpool-ipam/spiderpool-ipam
    echo "$arch: $(ctr "${run[@]}" "$image" "version-$arch" "$program" version)"
    ctr "${run[@]}" --mount="type=bind,src=$folder/node-$arch,dst=/host,options=rbind:rw" "$image" "install-$arch" \
        "$program" install --host-root=/host --wait-agent=0
done
