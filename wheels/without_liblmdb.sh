#!/usr/bin/env bash
# Runs a command where liblmdb of the system cannot be loaded: build.sh calls it with mounts that only we see.
# Usage: unshare --mount wheels/without_liblmdb.sh COMMAND...
set -euo pipefail

for library in $(ldconfig -p | awk '/liblmdb/ { print $NF }'); do
    mount --bind /dev/null "$library"
done
if ldconfig -p | awk '/liblmdb/ { print $NF }' | xargs -r head -qc1 | grep -q .; then
    echo "expected liblmdb of the system to be empty here" >&2
    exit 1
fi
exec "$@"
