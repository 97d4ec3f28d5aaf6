"""File systems that processes cannot share a mapped file on are refused, others are taken; all of them real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from isolated.support import KEY, finish, new_tokens, open_vault, secret_of, start

from warmtoken import _engine
from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import CacheRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

root_only = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a file system"
)


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[Path]:
    """An empty FUSE file system."""
    place = tmp_path / "fuse"
    place.mkdir(mode=0o700)
    server = start("fuse.py", place)
    assert server.stdout is not None
    said = server.stdout.readline().strip()
    if said != "mounted":
        finish(server)
        pytest.skip(f"cannot mount here: {said}")
    yield place
    finish(server)


@root_only
@pytest.mark.parametrize("below", [".", "cache", "deeper/cache"])
def test_fuse_is_refused_before_anything_is_made_there(fuse: Path, below: str) -> None:
    assert _engine.file_system(fuse) == 0x65735546
    with pytest.raises(CacheRefusedError) as refused:
        TokenCache(fuse / below, key=KEY).vault()
    assert refused.value.code == "file_system_refused"
    assert "it is on FUSE" in str(refused.value)
    assert "choose a path on a local disk or on tmpfs" in str(refused.value)


@root_only
@pytest.mark.parametrize(
    ("kind", "options", "magic"),
    [
        ("tmpfs", "size=16m,mode=0700", 0x01021994),
        ("overlay", "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", 0x794C7630),
    ],
)
def test_file_systems_of_this_machine_are_taken(tmp_path: Path, kind: str, options: str, magic: int) -> None:
    place, ground = tmp_path / "place", tmp_path / "ground"
    place.mkdir()
    ground.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(ground)], check=True)
    try:
        for name in ("lower", "upper", "work"):
            (ground / name).mkdir()
        command = ["mount", "-t", kind, "-o", options.format(ground), kind, str(place)]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"cannot mount here: {made.stderr.strip()}")
        try:
            assert _engine.file_system(place) == magic
            open_vault(place / "cache").save(new_tokens("secret"))
            assert secret_of(open_vault(place / "cache")) == "secret"
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(ground)], check=True)


def test_nothing_at_the_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        _engine.file_system(tmp_path / "missing")
