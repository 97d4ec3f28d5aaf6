"""Builds the one extension, warmtoken._engine, against the liblmdb of this system or of LMDB_PREFIX."""

import os
import shutil
import subprocess
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

MISSING = (
    "warmtoken needs the LMDB library with its header: install liblmdb-dev and pkg-config (Debian, Ubuntu), "
    "lmdb-devel and pkgconf (Fedora) or lmdb and pkg-config (macOS, Homebrew), or set LMDB_PREFIX to where it is."
)


def lmdb_flags() -> dict[str, list[str]]:
    if prefix := os.environ.get("LMDB_PREFIX"):
        lib = f"{prefix}/lib"
        return {"include_dirs": [f"{prefix}/include"], "library_dirs": [lib], "runtime_library_dirs": [lib]}
    found = shutil.which("pkg-config") and subprocess.run(
        ["pkg-config", "--cflags", "--libs", "lmdb"], capture_output=True, text=True, check=False
    )
    if not found or found.returncode:
        raise SystemExit(MISSING)
    flags = found.stdout.split()
    return {
        "include_dirs": [flag[2:] for flag in flags if flag.startswith("-I")],
        "library_dirs": [flag[2:] for flag in flags if flag.startswith("-L")],
    }


engine = Extension("warmtoken._engine", ["ext/_engine.pyx"], libraries=["lmdb"], **lmdb_flags())
engine.depends = glob("ext/*")
engine.extra_compile_args = ["-O3", "-fvisibility=hidden", *os.environ.get("WARMTOKEN_CFLAGS", "").split()]
setup(ext_modules=cythonize([engine], include_path=["ext"], build_dir="build", language_level=3))
