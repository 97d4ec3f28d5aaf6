"""Small file systems of their own, which a test may fill."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a file system"
)


def mount(*arguments: object) -> None:
    """Mount a file system, or skip the test where that cannot be."""
    made = subprocess.run(["mount", *map(str, arguments)], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount here: {made.stderr.strip()}")


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no free byte on the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    os.write(file.fileno(), bytes(size))
            except OSError:
                continue
    return ballast
