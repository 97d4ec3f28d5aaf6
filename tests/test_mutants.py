"""The rules that `make mutants` takes out stand in the source: a run takes long, so they are looked for here."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MUTANTS: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "mutants.py"))["MUTANTS"]


@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_stands_once_in_its_file(name: str) -> None:
    mutant = MUTANTS[name]
    assert (ROOT / mutant.file).read_text().count(mutant.rule) == 1
    assert mutant.instead != mutant.rule
    assert all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests.split())
