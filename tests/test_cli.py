from __future__ import annotations

import subprocess
import sys

import pytest

from warmtoken import __version__
from warmtoken.cli import main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "warmtoken", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["demo", "--unknown"],
        ["demo", "--workers", "0"],
        ["demo", "--workers", "65"],
        ["demo", "--workers", "four"],
        ["demo", "--seconds", "5.9"],
        ["demo", "--seconds", "3601"],
        ["demo", "--seconds", "nan"],
        ["demo", "--seconds", "ten"],
    ],
    ids=" ".join,
)
def test_wrong_usage_shows_the_usage_and_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: warmtoken")
    assert ("expected " in said) is (len(arguments) == 3)  # what is expected of a value, not the name of a function


def test_python_m_warmtoken_is_the_command() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"warmtoken {__version__}\n")


def test_an_unknown_command_of_the_module_exits_with_2() -> None:
    done = run("dance")
    assert (done.returncode, done.stdout) == (2, "")
    assert "invalid choice: 'dance'" in done.stderr
