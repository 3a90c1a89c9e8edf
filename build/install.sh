#!/bin/sh
# Install spiderpool on this node from the folder that this script is in. `install.sh --help` describes the options.
set -eu

usage() {
    cat <<'EOF_USAGE'
Usage: install.sh [--systemd] [options of `spiderpool-ipam install`]
       install.sh --uninstall [options of `spiderpool-ipam uninstall`]

Checks the architecture and the checksums of the files in this folder, then runs `spiderpool-ipam install` with the
options given.
  --systemd    also install and start spiderpool-ipam-watch.service, which keeps the node as it was installed
  --uninstall  stop and remove that service, then run `spiderpool-ipam uninstall`
The exit status is that of spiderpool-ipam, 1 when a check fails, or 2 when an option is wrong.
EOF_USAGE
}

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

# Print one word of a unit's ExecStart=, quoted for systemd.
quoted() {
    case $1 in *'
'*) fail "a unit cannot hold an option with a line break: $1" 2 ;; esac
    printf '%s\n' "$1" | sed -e 's/[\\"]/\\&/g' -e 's/%/%%/g' -e 's/[$]/$$/g' -e 's/.*/"&"/'
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
program=$here/spiderpool-ipam
service=spiderpool-ipam-watch.service
action=install systemd='' dry_run='' root='' watch=''

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
        --cni-*-dir=*) watch="$watch $(quoted "$option")" ;; # `install` records the other options on the node
    esac
    set -- "$@" "$option"
done
unit=$root/etc/systemd/system/$service
if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemd_runs=yes; else systemd_runs=''; fi

check_architecture() {
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

# Print a folder that `install` found or was given, by its key in the JSON report; it is a path of the node.
folder() {
    printf '%s\n' "$places" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"
}

install_unit() {
    places=$("$program" install --dry-run --json "$@")
    bin=$(folder binDir)
    conf=$(folder confDir)
    case $bin:$conf in /*:/*) ;; *) fail "cannot read the folders from: $places" ;; esac
    # On microk8s, the link `current` leads to another folder after each refresh.
    writable=${conf%/*}
    case $conf in */current/*) writable=${conf%%/current/*} ;; esac
    mkdir -p "${unit%/*}"
    cat >"$unit.new" <<EOF_UNIT
# Written by install.sh --systemd. Make changes in a drop-in: systemctl edit $service
[Unit]
Description=Keep SpiderPool as the IPAM in Calico's CNI configuration
StartLimitIntervalSec=0
ConditionPathExists=$(printf %s "$bin" | sed s/%/%%/g)/.spiderpool/current/spiderpool-ipam

[Service]
ExecStart=$(quoted "$bin/.spiderpool/current/spiderpool-ipam") watch$watch
Restart=always
RestartSec=1
StateDirectory=spiderpool-ipam
# watch writes to the two CNI folders. Their parents are writable, because a folder may be removed and created again.
# The capabilities let root replace files that belong to other users.
ProtectSystem=strict
ReadWritePaths=$(quoted "-$writable/") $(quoted "-${bin%/*}/")
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
    if [ "$systemd_runs" ]; then
        systemctl daemon-reload
        systemctl enable --quiet "$service"
        systemctl restart "$service"
        echo "$service keeps the node as installed; its log: journalctl -u $service"
    else
        echo "wrote $unit; systemd does not run here, so start the service on the node: systemctl enable --now $service"
    fi
}

remove_unit() {
    [ -e "$unit" ] || return 0
    if [ "$systemd_runs" ]; then systemctl disable --quiet --now "$service"; fi
    rm -f "$unit" "$root/etc/systemd/system/multi-user.target.wants/$service"
    if [ "$systemd_runs" ]; then systemctl daemon-reload; fi
    echo "removed $unit"
}

if [ "$action" = uninstall ]; then
    remove_unit
    exec "$program" uninstall "$@"
fi
check_architecture
check_files
"$program" install "$@"
[ "$dry_run" ] && exit
if [ "$systemd" ]; then
    install_unit "$@"
elif [ "$systemd_runs" ] && [ -e "$unit" ]; then
    systemctl try-restart "$service" # the running one is of the release that was just replaced
fi
