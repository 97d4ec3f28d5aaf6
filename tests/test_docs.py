"""The pages of docs/ name what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
EXAMPLES = [
    block
    for page in ("README.md", "docs/managed-identity.md")
    for block in re.findall(r"```python\n(.*?)```", (TOP / page).read_text(), re.DOTALL)
]
ERRORS = (TOP / "docs" / "errors.md").read_text()


def codes_in(source: Path) -> set[str]:
    """The constant codes with which a module makes errors."""
    calls = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call) and node.args]
    first = [call.args[0] for call in calls if ast.unparse(call.func).endswith(("Error", "_error"))]
    codes = {argument.value for argument in first if isinstance(argument, ast.Constant)}
    return {code for code in codes if isinstance(code, str) and re.fullmatch(r"[a-z]+(_[a-z]+)+", code)}


def all_codes() -> set[str]:
    library = [path for path in (TOP / "src").rglob("*.py") if not {"demo", "testing"} & set(path.parts)]
    engine = re.findall(r'\("([a-z]+_[a-z_]+)",', (TOP / "ext" / "errors.pxi").read_text())
    return set(engine).union(*map(codes_in, library))


def is_described(code: str) -> bool:
    return f"`{code}`" in ERRORS or (code.endswith("_invalid") and "`…_invalid`" in ERRORS)


def test_every_code_of_an_error_is_described() -> None:
    codes = all_codes()
    assert {"user_null", "wrong_key", "map_full", "connection_failed"} <= codes
    assert [code for code in sorted(codes) if not is_described(code)] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_within_the_repository_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\((?!https:)([^)]+)\)", (TOP / page).read_text())
    assert [target for target in targets if not (TOP / target).exists()] == []


def test_the_readme_is_one_screen() -> None:
    assert len((TOP / "README.md").read_text().splitlines()) <= 60


@pytest.mark.parametrize("block", EXAMPLES)
def test_the_examples_use_public_names(block: str) -> None:
    tree = ast.parse(block)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        module = __import__(node.module or "")
        assert [name.name for name in node.names if name.name not in module.__all__] == []
    assert imports
