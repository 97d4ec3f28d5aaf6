"""Processes that fork, open and close, die while they read, or are stopped."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from faults.scale import SCALE
from isolated import shim
from isolated.oracle import Ledger, assert_sound, secret
from isolated.support import finish, new_tokens, open_vault, run, secret_of, start
from support.world import SCOPES, new_world

from warmtoken.cache.byte_locks import GATE_DEADLINE
from warmtoken.errors import CacheLockedError

if TYPE_CHECKING:
    from pathlib import Path

needs_shim = pytest.mark.skipif(bool(shim.why_not()), reason=shim.why_not() or "there is one")
OPENERS = 6
HANGS = 60  # seconds


def test_children_come_and_go_beside_busy_threads(directory: Path, seed: int) -> None:
    exited, killed = map(int, run("fork_storm.py", directory, SCALE.forks, seed, timeout=SCALE.timeout).split())
    assert (exited, killed) == (SCALE.forks // 2, SCALE.forks // 2)
    assert_sound(directory)


def test_opening_and_closing_all_the_time_never_fails(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens(secret(1), refresh=secret(1)))
    del vault
    openers = [start("openings.py", directory, -(-SCALE.openings // OPENERS)) for _ in range(OPENERS)]
    for opener in openers:
        assert opener.stdin is not None
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    assert [finish(opener, SCALE.timeout).split() for opener in openers] == [[]] * OPENERS
    assert_sound(directory)


@needs_shim
def test_readers_that_died_in_a_snapshot_do_not_keep_old_pages(directory: Path) -> None:
    """Their slots are cleared by the next process that opens the file; from then on it does not grow."""
    numbers = SCALE.dead_readers, SCALE.writes_after_dead_readers
    said = run("dead_readers.py", directory, *numbers, timeout=SCALE.timeout, variables=shim.preload())
    dead, left, _ = map(int, said.split())
    assert (dead, left) == (SCALE.dead_readers, 0)
    assert_sound(directory, max_live_ratio=2)


@needs_shim
@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
def test_a_writer_that_is_stopped_in_its_commit_stops_nobody(tmp_path: Path, end: signal.Signals) -> None:
    """Tokens are served, also new ones; writing says after a while who is in the way; all of it comes to the file."""
    with new_world("sync", tmp_path) as world:
        app = world.public()
        account = world.sign_in(app).account
        vault = open_vault(world.directory)
        vault.save(new_tokens(secret(1), user="stopped"))
        writer = start("stopped_writer.py", world.directory, 2, variables=shim.preload())
        assert os.WIFSTOPPED(os.waitpid(writer.pid, os.WUNTRACED)[1])
        assert app.acquire_token_silent(SCOPES, account).metadata.token_source == "cache"
        assert secret_of(vault, user="stopped") == secret(1)
        since = time.monotonic()
        with pytest.raises(CacheLockedError) as caught:
            vault.save(new_tokens(secret(3), user="other"))
        assert caught.value.code == "write_gate_timeout"
        assert time.monotonic() - since >= GATE_DEADLINE
        fresh = app.acquire_token_silent(SCOPES, account, force_refresh=True)
        assert fresh.metadata.token_source == "identity_provider"
        assert time.monotonic() - since < HANGS
        os.kill(writer.pid, end)
        assert writer.wait(HANGS) == (0 if end == signal.SIGCONT else -signal.SIGKILL)
        vault.save(new_tokens(secret(3), user="other"))
        again = app.acquire_token_silent(SCOPES, account, force_refresh=True)  # with the refresh token kept unsaved
        assert again.access_token != fresh.access_token
        assert world.idp.counters.replays_detected == 0
        ledger = Ledger({"stopped": 2 if end == signal.SIGCONT else 1, "other": 3}, {2})
        ledger.check(lambda user: secret_of(vault, user=user), ["stopped", "other"])
        for pipe in (writer.stdin, writer.stdout):
            assert pipe is not None
            pipe.close()
    assert_sound(world.directory)


def test_a_reader_that_is_stopped_across_commits_reads_nothing_wrong(tmp_path: Path, seed: int) -> None:
    said = run("stopped_reader.py", tmp_path / "tokens", SCALE.stopped_readers, seed, timeout=SCALE.timeout)
    reads, wrong = map(int, said.split())
    assert reads > 0
    assert wrong == 0
