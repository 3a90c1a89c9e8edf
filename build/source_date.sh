#!/bin/bash
# Print the release's date: SOURCE_DATE_EPOCH, else that of the last commit to what goes into the release, else (where the
# sources are no git checkout) 1980-01-01.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    # git refuses a checkout that belongs to another user, as in a container that mounts it, unless it is called safe.
    SOURCE_DATE_EPOCH=$(
        git -c safe.directory="$PWD" log -1 --no-show-signature --format=%ct -- \
            build cni pyproject.toml constraints.txt LICENSE || true
    )
    if [ -z "$SOURCE_DATE_EPOCH" ]; then
        echo "warning: git has no date for these sources, so the files get 1980-01-01: set SOURCE_DATE_EPOCH" >&2
        SOURCE_DATE_EPOCH=315532800
    fi
fi
echo "$SOURCE_DATE_EPOCH"
