#!/bin/sh
# Boot this machine's systemd below $root, with this machine's /usr read-only, and hold it until stdin ends:
#   root=FOLDER tree=DIST unshare --mount --propagation=private sh booted.sh
# It prints the process of the booted systemd. Whatever that could change of the machine is read-only or its own.
# shellcheck disable=SC2154 # the variables are the caller's
set -eu

# The first process of the namespaces: it makes the root and becomes systemd.
if [ "${1-}" = first ]; then
    read -r process _ </proc/self/stat # as this machine's /proc counts it
    for path in /bin /sbin /lib*; do
        if [ -L "$path" ]; then cp -P "$path" "$root$path"; else mount --bind -o ro "$path" "$root$path"; fi
    done
    mkdir -p "$root/etc/systemd/system" "$root/usr" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" \
        "$root/var/lib" "$root/release"
    mount --bind -o ro /usr "$root/usr"
    mount --bind -o ro "$tree" "$root/release"
    cp /etc/ld.so.cache /etc/passwd /etc/group /etc/nsswitch.conf "$root/etc"
    : >"$root/etc/machine-id"
    ln -s /lib/systemd/system/basic.target "$root/etc/systemd/system/default.target"
    for unit in sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount dev-hugepages.mount \
        systemd-sysctl.service systemd-udevd.service systemd-modules-load.service systemd-random-seed.service; do
        ln -s /dev/null "$root/etc/systemd/system/$unit"
    done
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        : >"$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    echo "$process"
    exec chroot "$root" env -i container=test PATH=/usr/bin:/usr/sbin:/bin:/sbin /lib/systemd/systemd >/dev/null 2>&1
fi

mount -t tmpfs -o mode=755 tmpfs "$root"
groups=$root/groups group=$root/groups/$(basename "$root")
mkdir "$groups"
mount -t cgroup2 cgroup2 "$groups"
mkdir "$group"
(
    echo 0 >"$group/cgroup.procs" # the cgroup namespace begins here
    exec unshare --cgroup --pid --fork --kill-child --mount --ipc --uts --net sh "$0" first
) </dev/null &
booted=$!
cat
exec >/dev/null 2>&1 # whoever read it may be gone
kill -KILL "$booted"
wait "$booted" || :
until grep -q 'populated 0' "$group/cgroup.events"; do sleep 0.1; done
find "$group" -depth -type d -exec rmdir {} \;
