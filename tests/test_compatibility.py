"""docs/compatibility.md claims nothing that no test shows: each row has a state, each test that it names is there."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "compatibility.md").read_text()
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
LIST = rf"{TEST.pattern}(, {TEST.pattern})*"
SHOWN = re.compile(rf"(works|better): {LIST}")
REFUSED = re.compile(r"deliberately not: \w.{9,}")


def table(title: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head."""
    section = re.split(rf"^## {title}\n", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


FEATURES = table("Features")
RULES = table("Rules of silent acquisition")


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file, which is read and not imported."""
    body = ast.parse(path.read_text()).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
    named = functions | {target.id for target in assigned if isinstance(target, ast.Name)}
    return frozenset(name for name in named if name.lower().startswith("test"))


def is_there(file: str, test: str) -> bool:
    return (TESTS / file).exists() and test in names_in(TESTS / file)


def test_the_page_has_both_tables() -> None:
    assert len(FEATURES) >= 70
    assert len(RULES) >= 70
    assert {len(row) for row in FEATURES} == {6}
    assert {len(row) for row in RULES} == {2}
    for rows in (FEATURES, RULES):
        names = [row[0] for row in rows]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in FEATURES])
def test_each_feature_has_a_state_and_what_belongs_to_it(row: list[str]) -> None:
    assert all(row)
    state = row[-1]
    assert state == "not yet" or SHOWN.fullmatch(state) or REFUSED.fullmatch(state)


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in RULES])
def test_each_rule_has_a_test_or_says_why_not(row: list[str]) -> None:
    assert all(row)
    _, held = row
    assert held == "not yet" or REFUSED.fullmatch(held) or re.fullmatch(LIST, held)


@pytest.mark.parametrize(("file", "test"), sorted(set(TEST.findall(PAGE))))
def test_each_test_that_is_named_is_there(file: str, test: str) -> None:
    assert is_there(file, test)


def test_what_is_not_there_is_not_found() -> None:
    assert is_there("test_compatibility.py", "test_what_is_not_there_is_not_found")
    assert not is_there("test_compatibility.py", "test_of_nothing")
    assert not is_there("test_nowhere.py", "test_of_nothing")
    assert is_there("flows/test_model.py", "TestCacheAndFlows")
