#!/bin/sh
# Run a command in $root, in a mount namespace of its own: debian_root.sh COMMAND... (debian_root.py calls it.)
# With $build, that folder is /build, $venv is /build/.venv, $pip is pip's cache, and the command can write only there.
# shellcheck disable=SC2154 # the variables are the caller's
set -eu

# Show the machine's file or folder in the root, where it cannot be changed.
show() { # PATH
    if [ -e "$1" ]; then
        mount --bind "$1" "$root$1"
        mount -o remount,bind,ro "$root$1"
    fi
}

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
show /etc/resolv.conf
if [ -n "${build:-}" ]; then
    show /etc/ssl/certs
    mkdir -p "$build/.venv"
    mount --bind "$build" "$root/build"
    mount --bind "$venv" "$root/build/.venv"
    mount --bind "$pip" "$root/root/.cache/pip"
    mount -o remount,bind,ro "$root"
fi
exec chroot "$root" "$@"
