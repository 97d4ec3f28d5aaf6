"""docs/msal.md names what there is, and its example runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.msal_texts import python

from warmtoken.interop.msal_dialects import DIALECTS
from warmtoken.interop.msal_reasons import KNOWN_REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "msal.md").read_text()


@pytest.mark.parametrize("reason", KNOWN_REASONS)
def test_every_reason_is_described(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_named(dialect: str) -> None:
    assert f'`"{dialect}"`' in PAGE


def plain_environment() -> dict[str, str]:
    """That of this process, but for what says where a user's files and keys are."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "WARMTOKEN_"))}


def test_the_example_runs_to_the_letter(tmp_path: Path) -> None:
    (tmp_path / ".azure").mkdir()
    (tmp_path / ".azure" / "msal_token_cache.json").write_text(json.dumps(python()))
    [example] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "import_msal" in block]
    run = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=plain_environment() | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "'RefreshToken': 2" in run.stdout
    assert json.loads((tmp_path / "cache.json").read_text())["RefreshToken"] == python()["RefreshToken"]
