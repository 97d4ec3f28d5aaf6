"""A cache whose file is deleted or replaced by another goes on with what is there now."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from isolated.support import KEY, environment, error_of, find, new_tokens, secret_of

from warmtoken import _engine
from warmtoken.cache.paths import DATA_FILE, GATE_FILE, LOCK_FILE, STAMP_FILE
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
    run_in_another_process(f"open_vault({str(directory)!r}).save(new_tokens({secret!r}))")


def refusal_in_another_process(directory: Path) -> str:
    """Open the cache there, and return the code of the error that this raises."""
    return run_in_another_process(f"print(error_of(lambda: open_vault({str(directory)!r})).code)").strip()


def run_in_another_process(script: str) -> str:
    paths = environment()
    paths["PYTHONPATH"] += f":{Path(__file__).parent.parent}"
    script = f"from isolated.support import *\n{script}"
    return subprocess.run(
        [sys.executable, "-c", script], env=paths, check=True, timeout=120, stdout=subprocess.PIPE, text=True
    ).stdout


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


@pytest.mark.parametrize("name", [LOCK_FILE, GATE_FILE, STAMP_FILE])
def test_after_one_of_the_other_files_is_deleted_all_go_on_with_the_new_one(
    directory: Path, cache: TokenCache, clock: Clock, name: str
) -> None:
    cache.vault().save(new_tokens("old"))
    (directory / name).unlink()
    in_another_process(directory, "new")
    clock.advance(1.1)
    assert secret(cache) == "new"
    locks = cache.vault().shared.locks
    with locks.gate():
        assert refusal_in_another_process(directory) == "write_gate_timeout"
    with (directory / STAMP_FILE).open() as stamp, pytest.raises(BlockingIOError):
        fcntl.flock(stamp, fcntl.LOCK_EX | fcntl.LOCK_NB)
    cache.vault().save(new_tokens("newer"))
    in_another_process(directory, "newest")
    assert secret(cache) == "newest"


def test_a_writer_whose_lock_file_was_deleted_writes_over_nothing(directory: Path, cache: TokenCache) -> None:
    """LMDB takes the number of its next transaction from that file: from a new one the others have taken it, too."""
    vault = cache.vault()
    vault.save(new_tokens("old"))
    (directory / LOCK_FILE).unlink()
    in_another_process(directory, "theirs")
    vault.shared.commit([(_engine.PUT, _engine.NOTE, bytes(32), b"ours")])  # before anybody looks at the files again
    reader = TokenCache(directory, key=KEY).vault()
    assert (secret_of(reader), _engine.read(reader.shared.store, _engine.NOTE, bytes(32))[1]) == ("theirs", b"ours")


@pytest.mark.parametrize("what", ["directory", "data file"])
def test_what_was_moved_while_it_is_open_is_not_taken_for_what_came_in_its_place(
    directory: Path, cache: TokenCache, clock: Clock, what: str
) -> None:
    cache.vault().save(new_tokens("moved"))
    elsewhere = directory.with_name("elsewhere")
    if what == "directory":
        directory.rename(elsewhere)
    else:
        elsewhere.mkdir(mode=0o700)
        (directory / DATA_FILE).rename(elsewhere / DATA_FILE)
    in_another_process(directory, "new")
    moved = TokenCache(elsewhere, key=KEY)
    assert error_of(moved.vault).code == "path_refused"
    clock.advance(1.1)
    assert secret(cache) == "new"
    assert secret(moved) == "moved"


@pytest.mark.parametrize("what", ["a file", "a loop of links"])
def test_what_takes_the_place_of_the_directory_is_refused(
    directory: Path, cache: TokenCache, clock: Clock, what: str
) -> None:
    cache.vault().save(new_tokens("old"))
    shutil.rmtree(directory)
    directory.touch() if what == "a file" else directory.symlink_to(directory)
    clock.advance(1.1)
    assert error_of(cache.vault).code == "path_refused"
    assert error_of(cache.vault).code == "path_refused"


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
