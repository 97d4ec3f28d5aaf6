"""Who has a cache open must be alike: one machine, one PID namespace, one layout of LMDB's lock file."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from isolated.support import HERE, environment, finish, new_tokens, open_vault, run, secret_of, start
from support.world import eventually

from warmtoken.cache import session_stamp
from warmtoken.errors import CacheRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAMP = "tokens-v1.stamp"


def ask(holder: subprocess.Popen[str], line: str) -> str:
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write(f"{line}\n")
    holder.stdin.flush()
    return holder.stdout.readline().strip()


def first_line(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    return holder.stdout.readline().strip()


@pytest.fixture
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the cache open."""
    process = start("hold_cache.py", directory)
    assert first_line(process).startswith("open")
    yield process
    finish(process)


@contextmanager
def container(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a PID namespace of its own that opens the cache; skips where there can be none."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can make a PID namespace")
    enter = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("PID namespaces are not permitted here")
    process = subprocess.Popen(
        [*enter, sys.executable, "-W", "error", str(HERE / "hold_cache.py"), str(directory)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        yield process
    finally:
        finish(process)


def edit_stamp(directory: Path, name: str, value: str) -> bytes:
    """Let the stamp say something else of one fact, and return what it was before."""
    before = (directory / STAMP).read_bytes()
    lines = [f"{name}={value}" if line.startswith(f"{name}=") else line for line in before.decode().split("\n")]
    with (directory / STAMP).open("r+b") as file:
        file.write("\n".join(lines).encode().ljust(session_stamp.SIZE, b"\n"))
    return before


def test_a_second_container_is_refused_and_the_first_goes_on(directory: Path) -> None:
    with container(directory) as first:
        assert first_line(first) == "open 1"
        assert ask(first, "alice") == "alice"
        before = {path.name: path.read_bytes() for path in directory.iterdir()}
        with container(directory) as second:
            assert first_line(second) == "pid_namespace_mismatch"
        with pytest.raises(CacheRefusedError) as refused:
            open_vault(directory)
        assert refused.value.code == "pid_namespace_mismatch"
        assert "its own path" in str(refused.value)
        assert "shareProcessNamespace" in str(refused.value)
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
        assert ask(first, "bob") == "bob"
    assert secret_of(open_vault(directory), user="bob") == "bob"  # nobody else has it open now


def test_a_container_is_refused_while_the_host_has_the_cache_open(
    directory: Path, holder: subprocess.Popen[str]
) -> None:
    with container(directory) as second:
        assert first_line(second) == "pid_namespace_mismatch"
    assert ask(holder, "alice") == "alice"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("boot", "another-boot", "host_mismatch"),
        ("pid_namespace", "1", "pid_namespace_mismatch"),
        ("layout", "lmdb 0.9, 64 bits, little-endian, another libc, mutex 40", "abi_mismatch"),
        ("layout", "lmdb 0.9, 32 bits, little-endian, glibc, mutex 24", "abi_mismatch"),
        ("layout", "", "abi_mismatch"),
    ],
)
def test_another_kind_of_holder_is_told_apart(
    directory: Path, holder: subprocess.Popen[str], name: str, value: str, code: str
) -> None:
    before = edit_stamp(directory, name, value)
    with pytest.raises(CacheRefusedError) as refused:
        open_vault(directory)
    assert refused.value.code == code
    assert "its own path" in str(refused.value)
    (directory / STAMP).write_bytes(before)
    assert ask(holder, "alice") == "alice"
    assert secret_of(open_vault(directory), user="alice") == "alice"


@pytest.mark.parametrize("content", [b"", b"garbage", b"boot=another\n" * 100, bytes(5000)])
def test_whoever_opens_alone_writes_the_stamp(directory: Path, content: bytes) -> None:
    run("open_and_list.py", directory)
    right = (directory / STAMP).read_bytes()
    assert len(right) == session_stamp.SIZE
    (directory / STAMP).write_bytes(content)
    open_vault(directory).save(new_tokens("secret"))
    assert (directory / STAMP).read_bytes() == right


def test_processes_that_are_alike_open_together(directory: Path, holder: subprocess.Popen[str]) -> None:
    vault = open_vault(directory)
    assert ask(holder, "alice") == "alice"
    assert secret_of(vault, user="alice") == "alice"


def is_held(directory: Path) -> bool:
    with (directory / STAMP).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_the_stamp_is_held_for_as_long_as_the_file_is_open(directory: Path) -> None:
    store = open_vault(directory).shared.store
    gc.collect()
    assert is_held(directory)
    again = open_vault(directory).shared.store
    assert again is store
    del again
    gc.collect()
    assert is_held(directory)
    del store
    gc.collect()
    assert not is_held(directory)


def test_a_forked_child_holds_the_stamp_that_it_may_need(directory: Path) -> None:
    process = start("hold_cache.py", directory, "in a child that never uses it")
    assert first_line(process).startswith("child")
    assert process.wait(60) == 0
    assert is_held(directory)
    edit_stamp(directory, "pid_namespace", "1")
    with pytest.raises(CacheRefusedError):
        open_vault(directory)
    finish(process)  # that is, until the child is gone too
    eventually(lambda: not is_held(directory))  # of what an ending process has open, the pipe is closed first
    open_vault(directory)


def test_a_cache_whose_directory_is_replaced_has_a_stamp_again(directory: Path) -> None:
    vault = open_vault(directory)
    shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    again = open_vault(directory)
    again.save(new_tokens("secret"))
    assert is_held(directory)
    assert vault is not again
