#!/bin/bash
# Freeze the plugin and the operator program into dist/spiderpool-ipam/, and pack the release tarball beside it.
# `make build` runs this. The same sources and tools give the same bytes in any folder, at any time, for any user.
set -euo pipefail
cd "$(dirname "$0")/.."

SOURCE_DATE_EPOCH=$(bash build/source_date.sh)
# The rest of the caller's environment that would change the result.
unset ${!PYTHON*} ${!LD_*} CPATH C_INCLUDE_PATH LIBRARY_PATH COMPILER_PATH GZIP TAR_OPTIONS
export SOURCE_DATE_EPOCH PYTHONHASHSEED=0 LC_ALL=C.UTF-8 TZ=UTC
umask 022

tree=dist/spiderpool-ipam
work=dist/.work
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
rm -rf "$tree" "$work" dist/spiderpool-ipam-*-linux-"$arch".*
mkdir -p "$work"
# PyInstaller's cache goes here too, so that nothing is written outside of the project.
export PYINSTALLER_CONFIG_DIR=$PWD/$work
.venv/bin/python build/pack_plugin.py . "$work"
if ! .venv/bin/python -P -m PyInstaller --noconfirm --log-level ERROR --workpath "$work" --distpath "$tree" \
    build/spiderpool-ipam.spec >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi

with_image=()
loader=$(cd "$tree/_internal" && ls ld-*)
.venv/bin/python build/seal_loader.py "$tree/_internal/$loader"
.venv/bin/python build/bind_symbols.py "$tree"/_internal/libpython*
.venv/bin/python build/sbom.py "$work/sources.json" "$tree"

if [ "$(uname -m)" = x86_64 ]; then
    # They stay in dist/.image, for the tests.
    mkdir -p dist/.image
    cp "$work/spiderpool-ipam/image.bin" dist/.image
    gcc -std=gnu11 -O1 -Wall -Wextra -Werror -o dist/.image/tracer build/image/*.c
    if build_id=$(.venv/bin/python build/image/make.py "$tree" dist/.image/image.bin dist/.image/tracer); then
        # Where nothing of the image is, at 16 TiB (build/image/tracer.h).
        with_image=("-Wl,-Ttext-segment=0x100000000000" "-DBUILD_ID={$(sed 's/../0x&,/g' <<<"$build_id")}" build/image.c)
    elif [ $? = 2 ] && [ -z "${REQUIRE_IMAGE:-}" ]; then
        echo "warning: the plugin gets no image, so each call takes two to three times as long" >&2
    else
        exit 1
    fi
fi
gcc -std=c11 -Os -Wall -Wextra -Werror -static -no-pie -fPIE -nostdlib -ffreestanding -fno-builtin -fno-stack-protector \
    -fno-asynchronous-unwind-tables -Wl,--build-id=none -s -DLOADER="\"$loader\"" -o "$tree/spiderpool" \
    build/launcher.c "${with_image[@]}"
if [ "${with_image[*]}" ]; then .venv/bin/python build/image/hot.py "$tree/spiderpool"; fi
cp "$tree/spiderpool" "$tree/spiderpool-ipam"
.venv/bin/python build/page_sizes.py "$tree"

version=$("$tree/spiderpool-ipam" version | sed 's/^spiderpool-ipam \([^,]*\),.*/\1/')
tarball=spiderpool-ipam-$version-linux-$arch.tar.gz
install -m 755 build/install.sh "$tree/install.sh"
PYTHONPATH=. .venv/bin/python -B build/share.py "$tree"
install -m 644 build/links.sh build/unit.sh "$tree/share"
(cd "$tree" && find . ! -type d -printf '%P\0' | sort -z | xargs -0 sha256sum) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" "$tree/SHA256SUMS"
chmod -R u=rwX,go=rX,a-st "$tree"
tar -C dist --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    -cf - spiderpool-ipam | gzip -n >"dist/$tarball.partial"
mv "dist/$tarball.partial" "dist/$tarball"
(cd dist && sha256sum "$tarball" >"$tarball.sha256")
rm -rf "$work"
echo "$tree $(du -sh "$tree" | cut -f1), dist/$tarball $(du -h "dist/$tarball" | cut -f1)"
