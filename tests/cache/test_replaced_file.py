"""A cache whose file is deleted or replaced by another goes on with what is there now."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from isolated.support import KEY, environment, find, new_tokens

from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import CacheRefusedError, ClientError
from warmtoken.testing import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(directory: Path, clock: Clock) -> TokenCache:
    return TokenCache(directory, key=KEY, clock=clock)


def secret(cache: TokenCache) -> str | None:
    found = find(cache.vault())
    return found.secret if found else None


def in_another_process(directory: Path, secret: str) -> None:
    script = f"""
from isolated.support import *
open_vault({str(directory)!r}).save(new_tokens({secret!r}))
"""
    paths = environment()
    paths["PYTHONPATH"] += f":{Path(__file__).parent.parent}"
    subprocess.run([sys.executable, "-c", script], env=paths, check=True, timeout=120)


@pytest.mark.parametrize("what", ["directory", "data file"])
def test_after_a_deletion_the_new_file_is_used(directory: Path, cache: TokenCache, clock: Clock, what: str) -> None:
    cache.vault().save(new_tokens("old"))
    if what == "directory":
        shutil.rmtree(directory)
    else:
        (directory / "tokens-v1.mdb").unlink()
    in_another_process(directory, "new")
    clock.advance(1.1)
    assert secret(cache) == "new"
    cache.vault().save(new_tokens("newer"))
    assert secret(TokenCache(directory, key=KEY)) == "newer"


def test_results_in_memory_end_with_their_file(directory: Path, cache: TokenCache, clock: Clock) -> None:
    vault = cache.vault()
    clock.advance(-60)  # no look at the file is due before a minute and a second, however slow the disk
    vault.save(new_tokens("old"))
    found = find(vault)
    assert found is not None
    view = cache.view()
    view.remember(("a",), None, None, "old", 4_000_000_000_000, found.txnid, found.witnesses, 100)
    assert view.lookup(("a",)) == "old"
    shutil.rmtree(directory)
    clock.advance(61.1)
    assert view.lookup(("a",)) is None
    assert cache.vault() is not vault
    assert not view.is_live
    assert secret(cache) is None


def test_a_restored_copy_is_read_and_two_caches_of_the_process_agree(
    directory: Path, cache: TokenCache, clock: Clock
) -> None:
    other = TokenCache(directory, key=KEY, clock=clock)
    cache.vault().save(new_tokens("first"))
    copy = directory.parent / "copy"
    shutil.copy(directory / "tokens-v1.mdb", copy)
    cache.vault().save(new_tokens("second"))
    assert (secret(cache), secret(other)) == ("second", "second")
    copy.rename(directory / "tokens-v1.mdb")
    clock.advance(1.1)
    assert (secret(cache), secret(other)) == ("first", "first")
    other.vault().save(new_tokens("third"))
    assert secret(cache) == "third"


def test_a_file_of_another_key_in_its_place_is_refused(directory: Path, cache: TokenCache, clock: Clock) -> None:
    cache.vault().save(new_tokens("old"))
    elsewhere = directory.parent / "elsewhere"
    TokenCache(elsewhere, key=bytes(32)).vault().save(new_tokens("foreign"))
    (elsewhere / "tokens-v1.mdb").rename(directory / "tokens-v1.mdb")
    clock.advance(1.1)
    with pytest.raises(CacheRefusedError) as refused:
        cache.vault()
    assert refused.value.code == "wrong_key"


@pytest.mark.parametrize("ask", [TokenCache.view, TokenCache.stats])
def test_a_cache_that_another_thread_closes_meanwhile_says_so(
    cache: TokenCache, ask: Callable[[TokenCache], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = cache.vault

    def opened_and_closed() -> object:
        vault = opened()
        cache.close()  # another thread has its turn here
        return vault

    monkeypatch.setattr(cache, "vault", opened_and_closed)
    with pytest.raises(ClientError, match="cache_closed"):
        ask(cache)
