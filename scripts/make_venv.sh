#!/usr/bin/env bash
# Makes a virtual environment, and installs with apt what it and the build need and the system does not have.
# Usage: scripts/make_venv.sh DIRECTORY. PYTHON names the interpreter (default: the first of 3.11 or newer).
set -euo pipefail

venv=$1

main() {
    local python packages
    python=$(find_python)
    packages=$(missing_packages "$python")
    [ -z "$packages" ] || install_packages $packages
    echo "Making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "warmtoken needs Python 3.11 or newer, found none; install one, or name it: make PYTHON=/path/to/python" >&2
    exit 1
}

missing_packages() {
    local version
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    command -v "${CC:-cc}" >/dev/null || echo gcc libc6-dev
    "$1" -c 'import ensurepip, venv' 2>/dev/null || echo "python$version-venv"
    "$1" -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null ||
        echo "python$version-dev"
    if [ -z "${LMDB_PREFIX:-}" ] && ! pkg-config --exists lmdb 2>/dev/null; then
        echo liblmdb-dev pkg-config
    fi
}

install_packages() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "warmtoken needs these Debian packages, or what your system calls them: $*" >&2
        echo "Fedora: dnf install gcc python3-devel lmdb-devel pkgconf; macOS: brew install lmdb pkg-config" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "become root, run: apt-get install $*, and try again" >&2; exit 1; }
        as_root=(sudo)
    fi
    echo "Installing $*"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

main
