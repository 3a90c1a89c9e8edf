#!/bin/sh
# Part of install.sh, which reads it. It writes the unit of the service that keeps the node as it was installed, starts
# the service, and checks it.
# shellcheck disable=SC2154 # $unit, $service and the others are install.sh's

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
# With --report, watch has doctor read the routes by netlink. To change them takes CAP_NET_ADMIN, which is not given here.
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
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
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
