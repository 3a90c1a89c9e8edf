#!/bin/sh
# Run a command in $root, in a mount namespace of its own: debian_root.sh COMMAND... (debian_root.py calls it.)
# With $build, that folder is /build, $venv is /build/.venv, $pip is pip's cache, and the command can write only there.
# shellcheck disable=SC2154 # the variables are the caller's
set -eu

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
# How the network is reached.
for path in /etc/resolv.conf /etc/ssl/certs; do
    if [ -e "$path" ]; then mount --bind "$path" "$root$path"; fi
done
if [ -n "${build:-}" ]; then
    mkdir -p "$build/.venv"
    mount --bind "$build" "$root/build"
    mount --bind "$venv" "$root/build/.venv"
    mount --bind "$pip" "$root/root/.cache/pip"
    mount -o remount,bind,ro "$root"
fi
exec chroot "$root" "$@"
