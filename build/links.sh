#!/bin/sh
# Part of install.sh, which reads it. It gives spiderpool-ipam a name on the PATH, without which shells complete nothing,
# and its completions and manual pages the names by which shells and man find them. All are links into the installed
# release, so an upgrade brings its own. What others have put there stays.
# shellcheck disable=SC2154 # $here and $program are install.sh's
prefix=/usr/local

link_names() {
    unlink_names
    command -v ln >/dev/null || return 0
    release=$("$program" folders | sed -n 1p)/.spiderpool/current
    set -- bin/spiderpool-ipam
    for file in "$here"/share/*/*/*; do set -- "$@" "share/${file#"$here"/share/}"; done
    for name; do
        file=$release/$name
        if [ "$name" = bin/spiderpool-ipam ]; then file=$release/spiderpool-ipam; fi
        if [ -e "$prefix/$name" ] || [ -L "$prefix/$name" ]; then
            say "$prefix/$name is another's, and stays"
        elif ! { mkdir -p "$prefix/${name%/*}" && ln -s "$file" "$prefix/$name"; } 2>/dev/null; then
            say "$prefix/${name%/*} cannot be written to, so shells and man do not find all of spiderpool-ipam"
            return 0
        fi
    done
}

unlink_names() {
    for file in "$prefix"/bin/spiderpool-ipam "$prefix"/share/*/*/*spiderpool-ipam*; do
        case $(readlink "$file" || :) in */.spiderpool/current/*) rm -f "$file" 2>/dev/null || : ;; esac
    done
}
