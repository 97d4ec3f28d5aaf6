"""The demo as its users run it: in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

EXPECTED = {"workers", "hits", "hit_p50_us", "expiries", "refreshes", "interactive_fallbacks", "errors"}
DEADLINE = 120


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the demo in a process group of its own; what it leaves behind is looked for in its temporary directory."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "warmtoken", "demo", *arguments]
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, process_group=0)

    return start


def group_is_gone(group: int) -> bool:
    """Whether all processes of a group end before the deadline."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def wait_for_load(demo: subprocess.Popen[str]) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if " s  " in line:
            return
    pytest.fail("expected the demo to show a row of its table, but it ended")


def test_the_demo_shows_that_refreshes_are_as_many_as_expiries(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    demo = start("--json", "--seconds", "8")
    output, errors = demo.communicate(timeout=DEADLINE)
    assert (demo.returncode, errors) == (0, "")
    figures = json.loads(output.splitlines()[-1])
    assert figures.keys() >= EXPECTED
    assert figures["refreshes"] == figures["expiries"] >= 1
    assert (figures["interactive_fallbacks"], figures["errors"], figures["workers"]) == (1, 0, 4)
    assert figures["hits"] >= 100_000
    assert 0 < figures["hit_p50_us"] <= figures["hit_p99_us"]
    assert figures["pure_python"]["refreshes"] > figures["refreshes"]
    assert "\x1b" not in output
    assert list(tmp_path.iterdir()) == []
    assert group_is_gone(demo.pid)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_stopped_leaves_nothing_behind(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    demo = start("--workers", "2", "--seconds", "60")
    wait_for_load(demo)
    os.killpg(demo.pid, number)
    _, errors = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == code
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    assert group_is_gone(demo.pid)


def test_no_process_outlives_a_demo_that_was_killed(start: Callable[..., subprocess.Popen[str]]) -> None:
    demo = start("--workers", "2", "--seconds", "60")
    wait_for_load(demo)
    demo.kill()
    demo.communicate(timeout=DEADLINE)
    assert group_is_gone(demo.pid)


def test_a_worker_that_is_killed_ends_the_demo_with_a_clear_message(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    demo = start("--workers", "2", "--seconds", "60")
    wait_for_load(demo)
    os.kill(children(demo.pid)[-1], signal.SIGKILL)
    _, errors = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == 1
    assert "expected worker 2 to go on, but it ended with exit code -9" in errors
    assert list(tmp_path.iterdir()) == []
    assert group_is_gone(demo.pid)


def children(parent: int) -> list[int]:
    """The child processes by their age, the youngest last (Linux)."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return sorted(int(number) for number in found.split())


def test_a_reader_that_goes_away_ends_the_demo(start: Callable[..., subprocess.Popen[str]]) -> None:
    demo = start("--workers", "2", "--seconds", "60")
    wait_for_load(demo)
    assert demo.stdout is not None
    assert demo.stderr is not None
    demo.stdout.close()
    errors = demo.stderr.read()
    assert (demo.wait(DEADLINE), errors) == (1, "")
    demo.stderr.close()
    assert group_is_gone(demo.pid)


def test_a_directory_that_anybody_may_change_is_refused(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    demo = start("--workers", "1")
    _, errors = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == 1
    assert errors.startswith("warmtoken demo: refused to use")
    assert "Traceback" not in errors
