"""Disks that are full or read-only: an error that says so, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from isolated.support import KEY, new_tokens, open_vault, secret_of, start
from support.disks import fill, mount, needs_root, small_disk

from warmtoken.cache.key_sources import resolve_key
from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import CacheFullError, CacheRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as place:
        yield place


def fill_cache(directory: Path) -> int:
    """Save tokens until there is no more room; return how many were saved."""
    vault, count = open_vault(directory), 0
    try:
        while True:
            vault.save(new_tokens(f"{count} " + "x" * 2000, user=str(count), refresh=f"refresh {count}"))
            count += 1
    except CacheFullError as error:
        full = error
    assert full.code == "disk_full"
    assert "free some space" in str(full)
    return count


def test_a_full_disk_is_said_and_nothing_is_lost(disk: Path) -> None:
    directory = disk / "cache"
    vault = open_vault(directory)
    vault.save(new_tokens("first", user="first"))
    ballast = fill(disk)
    count = fill_cache(directory)
    assert count > 20  # from the reserve
    vault.remove_account(new_tokens("", user="0").slot.owner)
    assert secret_of(vault, user="first") == "first"
    for user in range(1, count):
        assert (secret_of(vault, user=str(user)) or "").split()[0] == str(user)
    ballast.unlink()
    vault.save(new_tokens("after", user="after"))
    assert secret_of(vault, user="after") == "after"
    assert vault._sealer.refused == 0


def test_a_cache_whose_disk_was_full_opens_in_another_process(disk: Path) -> None:
    directory = disk / "cache"
    open_vault(directory).save(new_tokens("first"))
    fill(disk)
    fill_cache(directory)
    assert "first" in run_open(directory)


def run_open(directory: Path) -> str:
    out, _ = start("open_cache.py", directory, KEY.hex()).communicate("go\n", timeout=120)
    return out


@pytest.mark.parametrize("room", [0, 1, 8, *range(63, 80)])
def test_a_cache_begun_on_a_full_disk_works_once_there_is_space(disk: Path, room: int) -> None:
    """`room` is how many pages are free when the cache is first opened."""
    directory = disk / "cache"
    ballast = fill(disk)
    os.truncate(ballast, max(0, ballast.stat().st_size - 4096 * room))
    with contextlib.suppress(CacheFullError):
        open_vault(directory).save(new_tokens("early"))
    ballast.unlink()
    open_vault(directory).save(new_tokens("late", user="late"))
    assert secret_of(open_vault(directory), user="late") == "late"


def test_a_key_file_on_a_full_disk_is_an_error_and_is_made_once_there_is_space(disk: Path) -> None:
    ballast = fill(disk)
    with pytest.raises(CacheFullError) as caught:
        resolve_key(disk / "config" / "key")
    assert caught.value.code == "disk_full"
    ballast.unlink()
    key = resolve_key(disk / "config" / "key")
    assert resolve_key(disk / "config" / "key") == key


def test_a_read_only_file_system_is_refused_and_nothing_changes(disk: Path) -> None:
    directory = disk / "cache"
    run_open(directory)
    before = (directory / "tokens-v1.mdb").read_bytes()
    mount("-o", "remount,ro", disk)
    for path in (directory, disk / "new"):
        with pytest.raises(CacheRefusedError) as caught:
            TokenCache(path, key=KEY).vault()
        assert caught.value.code == "cache_not_writable"
        assert "Read-only" in str(caught.value)
    with pytest.raises(CacheRefusedError) as caught:
        resolve_key(disk / "config" / "key")
    assert caught.value.code == "cache_not_writable"
    mount("-o", "remount,rw", disk)
    assert (directory / "tokens-v1.mdb").read_bytes() == before
    open_vault(directory).save(new_tokens("secret"))
    assert secret_of(open_vault(directory)) == "secret"
