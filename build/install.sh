#!/bin/sh
# Install spiderpool on this node from the folder that this script is in. `install.sh --help` describes the options.
set -eu

usage() {
    cat <<'EOF_USAGE'
Usage: install.sh [--systemd] [options of `spiderpool-ipam install`]
       install.sh --uninstall [options of `spiderpool-ipam uninstall`]

Checks the architecture and the checksums of the files in this folder, tells what `spiderpool-ipam doctor` finds before
an installation, then runs `spiderpool-ipam install` with the options given.
  --systemd    also install and start spiderpool-ipam-watch.service, which keeps the node as it was installed
  --uninstall  stop that service, run `spiderpool-ipam uninstall`, and remove the service if the node was given back
The exit status is that of spiderpool-ipam, 1 when a check fails, or 2 when an option is wrong.
EOF_USAGE
}

# stdout is the program's: with --json it holds one JSON object.
say() {
    printf '%s\n' "$1" >&2
}

fail() {
    say "install.sh: $1"
    exit "${2:-1}"
}

# Print a word quoted for a unit; then one of a command's options, in which $ would begin a variable.
quoted() {
    case $1 in *'
'*) fail "a unit cannot hold an option with a line break: $1" 2 ;; esac
    printf '%s\n' "$1" | sed -e 's/[\\"]/\\&/g' -e 's/%/%%/g' -e 's/.*/"&"/'
}

argument() {
    quoted "$1" | sed 's/[$]/$$/g'
}

need() {
    for name; do
        command -v "$name" >/dev/null ||
            fail "$name is not found in PATH, which is '${PATH-}': add its folder, or install coreutils or busybox"
    done
}

need cat find mkdir mv readlink rm sed uname wc
self=$0
case $self in */*) ;; *) self=./$self ;; esac
if [ -L "$self" ]; then self=$(readlink -f "$self"); fi
here=$(CDPATH='' cd -- "${self%/*}/" && pwd -P)
program=$here/spiderpool-ipam
# shellcheck source=build/links.sh
if [ -f "$here/share/links.sh" ]; then . "$here/share/links.sh"; fi
service=spiderpool-ipam-watch.service
action=install systemd='' dry_run='' root='' watch='' bin_dir='' conf_dir=''

# Read the options. The script's own are taken out; each of the others is appended to "$@" again, as one word.
left=$#
while [ "$left" -gt 0 ]; do
    option=$1
    shift
    left=$((left - 1))
    case $option in
        -h | --help) usage && exit ;;
        --systemd) systemd=yes && continue ;;
        --uninstall) action=uninstall && continue ;;
        --cni-bin-dir | --cni-conf-dir | --conf | --as | --plugin-type | --host-root | --wait-agent | --set)
            [ "$left" -gt 0 ] || fail "$option needs a value; see --help" 2
            option=$option=$1
            shift
            left=$((left - 1))
            ;;
    esac
    case $option in
        --dry-run) dry_run=yes ;;
        --host-root=*) root=${option#*=} root=${root%/} ;;
        --cni-*-dir=*) watch="$watch $(argument "$option")" ;; # `install` records the other options on the node
    esac
    case $option in --cni-bin-dir=*) bin_dir=$option ;; --cni-conf-dir=*) conf_dir=$option ;; esac
    set -- "$@" "$option"
done
unit=$root/etc/systemd/system/$service
if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemd_runs=yes && need systemctl; else systemd_runs=''; fi

# Below --host-root, an absolute link leads to this container's own files. It matters only where there is a unit.
check_unit_folder() {
    [ "$root" ] || return 0
    for place in "$root/etc" "$root/etc/systemd" "${unit%/*}"; do
        case $(readlink "$place") in /*)
            fail "$place is a symbolic link to $(readlink "$place"), which is not the node's here: run this on the node"
            ;;
        esac
    done
}

check_architecture() {
    [ -d "$here/_internal" ] ||
        fail "$here has no release in it: run install.sh in the folder that the tarball was unpacked to"
    case $(uname -m) in
        x86_64) loader=ld-linux-x86-64.so.2 ;;
        aarch64) loader=ld-linux-aarch64.so.1 ;;
        *) loader='' ;;
    esac
    [ -f "$here/_internal/$loader" ] ||
        fail "this machine is $(uname -m), and the files are for another architecture: use the tarball for $(uname -m)"
}

check_files() {
    command -v sha256sum >/dev/null ||
        fail 'sha256sum is missing, so the files cannot be checked: install coreutils or busybox'
    [ -f "$here/SHA256SUMS" ] || fail "$here/SHA256SUMS is missing: unpack the tarball again"
    report=$(cd "$here" && sha256sum -c SHA256SUMS 2>&1) ||
        fail "$here: $(printf '%s\n' "$report" | sed -n '/FAILED/{p;q;}'): unpack the tarball again"
    # Files that an older release left in the folder would be installed as well.
    [ "$(cd "$here" && find . ! -type d | wc -l)" -eq "$(($(wc -l <"$here/SHA256SUMS") + 1))" ] ||
        fail "$here holds files that are not of this release: unpack the tarball into an empty folder"
}

# Write the unit. It lets watch write below the folders that `spiderpool-ipam folders` prints, and nowhere else.
write_unit() {
    places=$("$program" folders ${root:+"--host-root=$root"})
    bin='' writable='' made=''
    while IFS= read -r place; do
        if [ -z "$bin" ]; then
            bin=$place
            continue
        fi
        writable="$writable $(quoted "-$place/")"
        made="$made $(argument "$place")"
    done <<EOF_PLACES
$places
EOF_PLACES
    mkdir -p "${unit%/*}"
    cat >"$unit.new" <<EOF_UNIT
# Written by install.sh --systemd. Make changes in a drop-in: systemctl edit $service
[Unit]
Description=Keep SpiderPool as the IPAM in Calico's CNI configuration
StartLimitIntervalSec=0
ConditionPathExists=$(printf %s "$bin" | sed s/%/%%/g)/.spiderpool/current/spiderpool-ipam

[Service]
Type=notify
WatchdogSec=60
# A folder that is missing when watch starts, such as one in /run after a boot, would stay read-only for it.
ExecStartPre=-+/bin/mkdir -p --$made
ExecStart=$(quoted "$bin/.spiderpool/current/spiderpool-ipam") watch$watch
Restart=always
RestartSec=1
TimeoutStopSec=10
# watch writes to the two CNI folders. Their parents are writable, because a folder may be removed and created again.
# Where symbolic links lead out of them, so is what they led to when this was written. The last one is the state folder:
# StateDirectory= fails where that is a link.
# The capabilities let root replace files that belong to other users.
ProtectSystem=strict
ReadWritePaths=${writable# }
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER
NoNewPrivileges=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
EOF_UNIT
    mv "$unit.new" "$unit"
    if [ "$systemd_runs" ]; then systemctl daemon-reload; fi
}

start_unit() {
    if [ -z "$systemd_runs" ]; then
        say "wrote $unit; systemd does not run here, so start the service on the node: systemctl enable --now $service"
        return
    fi
    systemctl enable --quiet "$service"
    systemctl restart "$service"
    check_unit
    say "$service keeps the node as installed; its log: journalctl -u $service"
}

# A drop-in may take from the running service what the unit gives it, and a file system may be mounted read-only.
check_unit() {
    process=$(systemctl show --property=MainPID --value "$service")
    [ "$process" != 0 ] || fail "$service does not run: journalctl -u $service says why"
    refused=$("$program" folders --refused-to "$process")
    [ -z "$refused" ] || fail "$service cannot write to $refused:\
 watch cannot repair what changes there. Mount it writable, or take out of the unit's drop-ins what forbids it\
 (systemctl cat $service), and run install.sh --systemd again"
}

remove_unit() {
    [ -e "$unit" ] || return 0
    if [ "$systemd_runs" ]; then systemctl disable --quiet --now "$service"; fi
    rm -f "$unit" "$root/etc/systemd/system/multi-user.target.wants/$service"
    if [ "$systemd_runs" ]; then systemctl daemon-reload; fi
    say "removed $unit"
}

# Until the node is given back, something has to keep it: a plugin's name that leads nowhere stops every pod.
uninstall() {
    if [ -e "$unit" ]; then check_unit_folder; fi
    state=''
    if [ "$systemd_runs" ]; then state=$(systemctl is-active "$service") || :; fi
    trap : HUP INT TERM # they end the program, not what follows
    case $state in active | activating) systemctl stop "$service" ;; esac
    status=0
    "$program" uninstall "$@" || status=$?
    if [ "$status$root" = 0 ] && command -v unlink_names >/dev/null; then unlink_names; fi
    case $status:$state in
        0:* | 3:*) remove_unit ;; # 3: Calico's conflist is given back, and only the plugin stays
        *:active | *:activating)
            systemctl start "$service"
            say "$service keeps the node as installed, because it was not given back"
            ;;
    esac
    exit "$status"
}

if [ "$action" = uninstall ]; then uninstall "$@"; fi
check_architecture
check_files
if [ -z "$dry_run" ]; then
    if [ "$systemd" ] || [ -e "$unit" ]; then check_unit_folder; fi
    say 'spiderpool-ipam doctor --pre --node-only says of this node:' # it stops nothing; only `install` itself refuses
    "$program" doctor --pre --node-only --output=short --fail-on=nothing ${root:+"--host-root=$root"} \
        ${bin_dir:+"$bin_dir"} ${conf_dir:+"$conf_dir"} >&2 || :
fi
"$program" install "$@"
[ "$dry_run" ] && exit
[ "$root" ] || link_names # with --host-root, links below it could lead out of it
if [ "$systemd" ]; then
    write_unit
    start_unit
elif [ -e "$unit" ]; then # the unit, and the service that runs, are of the release that was just replaced
    write_unit
    if [ "$systemd_runs" ] && systemctl --quiet is-active "$service"; then
        systemctl restart "$service"
        check_unit
    fi
fi
