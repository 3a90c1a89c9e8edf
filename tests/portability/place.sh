#!/bin/sh
# Make a place's mounts below $root, then hold them until stdin ends. Run in a mount namespace of its own:
#   root=FOLDER tree=DIST bin=PATH_INSIDE [busybox=] [debian=] [traps=] [versions=] unshare --mount sh place.sh STEP...
# shellcheck disable=SC2154 # the variables are the caller's
set -eu

empty_root() {
    mount -t tmpfs -o mode=755 tmpfs "$root"
    mkdir "$root/bin" "$root/tmp"
    cp "$busybox" "$root/bin/busybox"
}

# Read-only, so that it stays as debootstrap made it, but for the folders that an installation writes to.
debian_root() {
    mount -o bind,ro "$debian" "$root"
    for path in /opt /var/lib; do
        mount -t tmpfs -o mode=755 tmpfs "$root$path"
    done
}

proc() {
    mkdir -p "$root/proc"
    mount -t proc proc "$root/proc"
}

bundle() {
    mkdir -p "$root$bin"
    mount -o bind,ro "$tree" "$root$bin"
}

# The layout of an installation; each version has a launcher of its own.
two_versions() {
    for version in $versions; do
        mkdir -p "$root$bin/.spiderpool/$version"
        mount -o bind,ro "$tree" "$root$bin/.spiderpool/$version"
    done
    ln -s "$version" "$root$bin/.spiderpool/current"
    ln -s .spiderpool/current/spiderpool "$root$bin/spiderpool"
}

# The host's own programs and libraries, on which the effect of a trap can be seen.
host_system() {
    for path in /bin /sbin /lib* /usr; do
        if [ -L "$path" ]; then
            cp -P "$path" "$root$path"
        else
            mkdir -p "$root$path"
            mount -o bind,ro "$path" "$root$path"
        fi
    done
}

set_traps() {
    cp -r "$traps" "$root/traps"
    chmod -R a+rX "$root/traps"
    mkdir "$root/etc"
    echo /traps/preload.so >"$root/etc/ld.so.preload"
    mkdir -m 700 "$root/closed"
}

stand_nowhere() {
    mkdir "$root/gone"
    cd "$root/gone"
    rmdir "$root/gone"
}

for step; do
    "$step"
done
mount --bind /tmp "$root/tmp"
echo ready
exec cat
