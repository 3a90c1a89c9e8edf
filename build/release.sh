#!/bin/bash
# Make a release of the last commit, and leave in dist/ what is to be published. `make release` runs this.
# It is made twice, each time in an empty checkout, in another folder and on other cores. Both have to have the same
# bytes. With a key, what was compared is then signed. Usage: [ARCHES="amd64 arm64"] release.sh [KEY]
set -euo pipefail
cd "$(dirname "$0")/.."
export ARCHES=${ARCHES:-amd64 arm64}
# The date is the commit's. What the caller told make is for this script and not for the builds.
unset SOURCE_DATE_EPOCH MAKEFLAGS KEY
key=${1:-}
builds=

fail() {
    echo "no release: $1" >&2
    exit 1
}

# Make everything that is not signed in the dist folder of a new checkout.
make_once() { # CHECKOUT CORES
    git clone --quiet --no-hardlinks --no-checkout . "$1"
    git -C "$1" checkout --quiet --detach "$commit" # somebody may have committed meanwhile
    for arch in $ARCHES; do
        taskset --cpu-list "$2" make --no-print-directory -C "$1" release ARCH="$arch"
    done
    make --no-print-directory -C "$1" image COMMIT="$commit"
    python3 "$1/build/attest.py" "$1/dist" "$commit" "$ARCHES"
}

make_twice() {
    local cores
    cores=$(sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status)
    make_once "$work/first" "$cores"
    make_once "$work/second/checkout" "${cores##*[,-]}" # the last one alone
}

# End what runs in the group of the builds, and remove the checkouts.
clean_up() {
    if [ "$builds" ]; then
        kill -- "-$builds" || true
        for _ in {1..50}; do
            kill -0 -- "-$builds" || break
            sleep 0.1
        done
        kill -KILL -- "-$builds" || true # the first process of a namespace may ignore other signals
    fi 2>/dev/null
    rm -rf "$work" dist/.partial
}

# Copy a file to dist/, where it gets its name once it is whole.
put() { # FILE
    cp "$1" dist/.partial
    mv dist/.partial "dist/${1##*/}"
}

main() {
    changes=$(git status --porcelain) || fail "it is made of a commit, and git tells of none here (see above)"
    [ -z "$changes" ] || fail "there are changes that are not committed, and it is made of a commit"
    [ "$(git rev-parse --is-shallow-repository)" = false ] ||
        fail "this clone is shallow, so git does not know of which date the sources are: git fetch --unshallow"
    python3 -c 'import tomllib' 2>/dev/null || fail "it needs python3 3.11 or later in PATH"
    [ -z "$key" ] || python3 build/sign.py "$key" || fail "the key cannot sign it"
    commit=$(git rev-parse HEAD)
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    set -m # so that the builds get a process group
    make_twice &
    builds=$!
    set +m
    wait "$builds"
    builds=
    made=$work/first/dist
    differences=$(diff "$made/SHA256SUMS" "$work/second/checkout/dist/SHA256SUMS") ||
        fail "two builds have different bytes:"$'\n'"$differences"

    mkdir -p dist
    rm -f dist/SHA256SUMS* dist/spiderpool-ipam-* # of another release
    while read -r _ name; do put "$made/$name"; done <"$made/SHA256SUMS"
    for file in "$made"/*.sha256 "$made/SHA256SUMS"; do put "$file"; done
    if [ "$key" ]; then
        if ! python3 "$work/first/build/sign.py" "$key" "$made"; then
            echo "the files in dist/ are complete but unsigned; to sign them: python3 build/sign.py $key dist" >&2
            exit 1
        fi
        for file in "$made/SHA256SUMS.sig" "$made"/*.intoto.jsonl; do put "$file"; done
    fi
    echo "made the same twice, and ${key:+signed, }in dist/:"
    cat dist/SHA256SUMS
}

# bash reads a script while it runs it, and somebody may change this one meanwhile.
main
exit
