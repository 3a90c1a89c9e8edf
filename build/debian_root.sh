#!/bin/sh
# Run a command in $root, in a mount namespace of its own: debian_root.sh COMMAND... (debian_root.py calls it.)
# With $build, that folder is /usr/src/spiderpool-ipam, $venv is .venv in it, and $pip is pip's cache; what the command
# writes elsewhere is gone when it ends. Without, it changes the root.
# shellcheck disable=SC2154 # the variables are the caller's
set -eu

# Show the machine's file or folder in the root, where it cannot be changed.
show() { # PATH
    if [ -e "$1" ]; then
        mount --bind "$1" "$root$1"
        mount -o remount,bind,ro "$root$1"
    fi
}

if [ -n "${build:-}" ]; then
    mount -t tmpfs tmpfs "$root/mnt"
    mkdir "$root/mnt/upper" "$root/mnt/work"
    # In a user namespace, a new file system has no devices. So those of the root stay: the folder is kept open meanwhile.
    cd "$root/dev"
    mount -t overlay -o "lowerdir=$root,upperdir=$root/mnt/upper,workdir=$root/mnt/work" overlay "$root"
    mount --no-canonicalize --bind . "$root/dev"
    cd /
    show /etc/ssl/certs
    mkdir -p "$build/.venv"
    mount --bind "$build" "$root/usr/src/spiderpool-ipam"
    mount --bind "$venv" "$root/usr/src/spiderpool-ipam/.venv"
    mount --bind "$pip" "$root/root/.cache/pip"
else
    mount --bind "$root" "$root"
fi
show /etc/resolv.conf
mount -t proc proc "$root/proc"
for folder in tmp dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$root/$folder"; done
mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts "$root/dev/pts"
mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx"
# Programs that enter the mount namespace find this root, too.
cd "$root"
pivot_root . mnt
exec chroot . sh -euc 'umount --lazy /mnt; exec "$@"' sh "$@"
