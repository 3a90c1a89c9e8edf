#!/bin/sh
# Install spiderpool on this node from the folder that this script is in. `install.sh --help` describes the options.
set -eu

usage() {
    cat <<'EOF_USAGE'
Usage: install.sh [--verify KEY] [--systemd] [options of `spiderpool-ipam install`]
       install.sh --uninstall [options of `spiderpool-ipam uninstall`]

Checks the architecture and the checksums of the files in this folder, tells what `spiderpool-ipam doctor` finds before
an installation, then runs `spiderpool-ipam install` with the options given.
  --verify KEY first check that KEY, a file with a public key, has signed these files. The release's SHA256SUMS and
               SHA256SUMS.sig have to be beside this folder. It needs openssl.
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
service=spiderpool-ipam-watch.service
action=install key='' systemd='' dry_run='' root='' watch='' bin_dir='' conf_dir=''

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
        --verify | --cni-bin-dir | --cni-conf-dir | --conf | --as | --plugin-type | --host-root | --wait-agent | --set)
            [ "$left" -gt 0 ] || fail "$option needs a value; see --help" 2
            option=$option=$1
            shift
            left=$((left - 1))
            ;;
    esac
    case $option in
        --verify=) fail '--verify needs a value; see --help' 2 ;; # such as a variable that is not set
        --verify=*) key=${option#*=} && continue ;;
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
    machine=$(uname -m) files=''
    case $machine in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$machine ;; esac
    for loader in amd64:ld-linux-x86-64.so.2 arm64:ld-linux-aarch64.so.1; do
        if [ -f "$here/_internal/${loader#*:}" ]; then files=${loader%:*}; fi
    done
    case $files in
        "$arch") ;;
        '') fail "$here/_internal holds no program loader, so files are missing: unpack the tarball again" ;;
        *) refuse_architecture "$files" ;;
    esac
}

refuse_architecture() { # ARCH_OF_THE_FILES
    case $arch in amd64 | arm64) mend="use the tarball whose name ends in -linux-$arch.tar.gz" ;; *)
        mend='releases are for x86_64 (amd64) and aarch64 (arm64)' ;;
    esac
    fail "$here: these files are for $1, and this machine is $machine: $mend"
}

# The signed list names each file of a release, and among them, for each architecture, the SHA256SUMS of this folder.
check_signature() {
    command -v openssl >/dev/null ||
        fail 'openssl is missing, so no signature can be verified: install it, or verify the tarball on another machine'
    list=${here%/*}/SHA256SUMS
    [ -f "$key" ] || fail "there is no key $key"
    for file in "$list" "$list.sig"; do
        [ -f "$file" ] || fail "$file is missing, so nothing can be verified: get it from where the tarball is from"
    done
    openssl pkey -pubin -in "$key" -noout </dev/null >/dev/null 2>&1 ||
        fail "$key holds no public key, or cannot be read: get it from those who publish the release"
    openssl dgst -sha256 -verify "$key" -signature "$list.sig" "$list" </dev/null >/dev/null 2>&1 ||
        fail "$list was changed, or was not signed with the key $key: do not install it. Get the tarball, SHA256SUMS and\
 SHA256SUMS.sig of one release again, and compare the key with that of those who publish it"
    sum=$(sha256sum <"$here/SHA256SUMS")
    name=$(sed -n "s/^${sum%% *}  \(spiderpool-ipam-[0-9][^/]*-linux-[a-z0-9]*\)\.SHA256SUMS\$/\1/p" "$list" | sed 1q)
    case $name in
        *-linux-"$arch") say "signed with $key: $name" ;;
        '') fail "$here is not of the release whose list is $list: put the tarball, SHA256SUMS and SHA256SUMS.sig of the\
 same version side by side, and unpack that tarball there" ;;
        *) refuse_architecture "${name##*-linux-}" ;;
    esac
}

check_files() {
    command -v sha256sum >/dev/null ||
        fail 'sha256sum is missing, so the files cannot be checked: install coreutils or busybox'
    [ -f "$here/SHA256SUMS" ] || fail "$here/SHA256SUMS is missing: unpack the tarball again"
    if [ "$key" ]; then check_signature; fi
    # Of what sha256sum says, tell the first line with FAILED, or if a damaged list has none, the last that is not OK.
    report=$(cd "$here" && sha256sum -c SHA256SUMS 2>&1) ||
        fail "$here: $(printf '%s\n' "$report" | sed -n '/FAILED/{p;q;};/: OK$/!h;${x;p;}'): unpack the tarball again"
    # What is behind a link in the place of a folder would be left out of the count, and make room for other files.
    find "$here" -type l | while IFS= read -r link; do
        [ ! -d "$link" ] || fail "$link is a link in the place of a folder: unpack the tarball into an empty folder"
    done
    # Files that an older release left in the folder would be installed as well.
    [ "$(cd "$here" && find . ! -type d | wc -l)" -eq "$(($(wc -l <"$here/SHA256SUMS") + 1))" ] ||
        fail "$here holds files that are not of this release: unpack the tarball into an empty folder"
}

remove_unit() {
    [ -e "$unit" ] || return 0
    if [ "$systemd_runs" ]; then systemctl disable --quiet --now "$service"; fi
    rm -f "$unit" "$root/etc/systemd/system/multi-user.target.wants/$service"
    if [ "$systemd_runs" ]; then systemctl daemon-reload; fi
    say "removed $unit"
}

# Read the script's other parts: of an installation, once they are known to be the release's own.
read_parts() {
    for part in links unit; do
        # shellcheck source=build/links.sh
        # shellcheck source=build/unit.sh
        if [ -f "$here/share/$part.sh" ]; then . "$here/share/$part.sh"; fi
    done
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

if [ "$action" = uninstall ]; then
    [ -z "$key" ] || fail '--verify is for an installation; see --help' 2
    read_parts
    uninstall "$@"
fi
check_architecture
check_files
read_parts
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
