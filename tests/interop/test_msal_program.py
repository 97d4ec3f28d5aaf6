"""The change that docs/msal.md shows, made to the letter: the program's processes share what one signed in for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from warmtoken import PublicClientApplication, TokenCache

HERE = Path(__file__).parent
TOP = HERE.parents[1]
PAGE = (TOP / "docs" / "msal.md").read_text()
[DIFF] = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)


def program(without: str) -> str:
    """Return the program of the diff, as it was without "+" lines or as it is without "-" lines."""
    return "".join(line[1:] + "\n" for line in DIFF.splitlines() if not line.startswith(without))


def run(path: Path, home: Path) -> str:
    """Run a program as a user whose files are in a directory."""
    variables = {"XDG_STATE_HOME": str(home / "state"), "XDG_CONFIG_HOME": str(home / "config"), "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, str(HERE / "msal_program.py"), str(path)],
        env=os.environ | variables | {"PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_change_is_two_lines() -> None:
    assert sum(line.startswith("+") for line in DIFF.splitlines()) == 2
    assert sum(line.startswith("-") for line in DIFF.splitlines()) == 1


def test_after_the_change_the_second_process_signs_nobody_in(tmp_path: Path) -> None:
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(program("+"))
    after.write_text(program("-"))
    for _ in range(2):
        assert "tokens asked for: 1" in run(before, tmp_path)
    assert "identity_provider True" in (first := run(after, tmp_path))
    assert "tokens asked for: 1" in first
    second = run(after, tmp_path)
    assert "cache True" in second
    assert "tokens asked for: 0" in second


def test_what_the_page_says_of_installing_and_names_is_so() -> None:
    assert '\nmsal = ["msal>=1.30"]\n' in (TOP / "pyproject.toml").read_text()
    assert "\nmsal-suite:" in (TOP / "Makefile").read_text()
    assert [target for target in re.findall(r"\]\(([^)]+)\)", PAGE) if not (TOP / "docs" / target).exists()] == []
    assert {"PublicClientApplication", "TokenCache"} <= {PublicClientApplication.__name__, TokenCache.__name__}
