#!/bin/bash
# Make a release of the last commit, and leave in dist/ what is to be published. `make release` runs this.
# It is made twice, each time in an empty checkout, in another folder and on other cores. Both have to have the same
# bytes. With a key, it is then signed. Usage: [ARCHES="amd64 arm64"] release.sh [KEY]
set -euo pipefail
cd "$(dirname "$0")/.."
export ARCHES=${ARCHES:-amd64 arm64} REQUIRE_IMAGE=1
key=${1:-}

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
    make --no-print-directory -C "$1" image
    "$1/.venv/bin/python" "$1/build/attest.py" "$1/dist" "$commit" "$ARCHES"
}

[ -z "$(git status --porcelain)" ] || fail "there are changes that are not committed, and it is made of a commit"
[ -z "$key" ] || [ -f "$key" ] || fail "there is no key $key"
commit=$(git rev-parse HEAD)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cores=$(sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status)
make_once "$work/first" "$cores"
make_once "$work/second/checkout" "${cores##*[,-]}" # the last one alone
differences=$(diff "$work/first/dist/SHA256SUMS" "$work/second/checkout/dist/SHA256SUMS") ||
    fail "two builds have different bytes:"$'\n'"$differences"

mkdir -p dist
while read -r _ name; do
    cp "$work/first/dist/$name" dist/
done <"$work/first/dist/SHA256SUMS"
cp "$work"/first/dist/*.sha256 dist/
"$work/first/.venv/bin/python" build/attest.py dist "$commit" "$ARCHES" ${key:+"$key"}
echo "made the same twice, and ${key:+signed, }in dist/:"
cat dist/SHA256SUMS
