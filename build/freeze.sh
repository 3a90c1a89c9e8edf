#!/bin/bash
# Freeze plugin and operator program: dist/spiderpool-ipam/ and the release tarball beside it. Run by `make build`.
set -euo pipefail
cd "$(dirname "$0")/.."

tree=dist/spiderpool-ipam
work=dist/.work
rm -rf "$tree" "$work"
mkdir -p "$work"
# PyInstaller's cache stays here too: nothing outside of the project is written.
export PYINSTALLER_CONFIG_DIR=$PWD/$work
.venv/bin/python build/pack_plugin.py . "$work/spiderpool.py"
if ! .venv/bin/pyinstaller --noconfirm --log-level ERROR --workpath "$work" --distpath "$tree" \
    build/spiderpool-ipam.spec >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi

loader=$(cd "$tree/_internal" && ls ld-*)
.venv/bin/python build/seal_loader.py "$tree/_internal/$loader"
gcc -std=c11 -Os -Wall -Wextra -Werror -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector \
    -fno-asynchronous-unwind-tables -Wl,--build-id=none -s -DLOADER="\"$loader\"" -o "$tree/spiderpool" build/launcher.c
cp "$tree/spiderpool" "$tree/spiderpool-ipam"

version=$("$tree/spiderpool-ipam" version --json | sed 's/.*"version": "\([^"]*\)".*/\1/')
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
tarball=spiderpool-ipam-$version-linux-$arch.tar.gz
tar -C dist --sort=name --owner=0 --group=0 --numeric-owner -czf "dist/$tarball" spiderpool-ipam
(cd dist && sha256sum "$tarball" >"$tarball.sha256")
rm -rf "$work"
echo "$tree $(du -sh "$tree" | cut -f1), dist/$tarball $(du -h "dist/$tarball" | cut -f1)"
