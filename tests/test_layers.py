"""Imports go one way: application -> flows -> cache -> engine, and the leaves import nothing of ours."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import warmtoken

SOURCE = Path(warmtoken.__file__).parent
LEAVES = {"errors", "models", "credentials", "identities", "notices", "imports", "texts", "transport"}
FRONT = {
    "application",
    "aio",
    "core",
    "public_client",
    "confidential_client",
    "confidential_application",
    "managed_identity",
}
AT_THE_EDGE = {"interactive", "browser", "default_transport", "pinned_tls"}

# What the modules of each layer may import of ours, themselves apart.
ALLOWED = {
    **{name: set[str]() for name in LEAVES},
    "notices": {"models"},
    **dict.fromkeys(AT_THE_EDGE, LEAVES),
    "default_transport": LEAVES | {"transport_failures"},
    "transport_failures": set[str](),
    "direct_transport": LEAVES | {"default_transport", "pinned_tls"},
    "protocol": LEAVES,
    "cache": LEAVES | {"_engine"},
    "flows": LEAVES | {"protocol", "cache", "_engine", "interactive", "browser"},
    **{
        name: LEAVES | FRONT | {"flows", "cache", "protocol", "_engine", "default_transport", "direct_transport"}
        for name in FRONT
    },
    "__init__": LEAVES | {"application", "confidential_application", "managed_identity", "cache"},
    "challenge": {"protocol"},
    "testing": LEAVES | {"_engine"},
    "opentelemetry": LEAVES | {"__init__", "cache"},
    "interop": LEAVES | FRONT | {"__init__", "cache", "protocol", "_engine"},
}
# Methods that stand on a class of a lower layer for the user's sake; what they do is done above, and imported by them.
DOORS = {"warmtoken.cache.token_cache": {"interop"}}
TOP = {"__main__", "cli", "demo"}  # programs: they may use anything


def layer_of(module: str) -> str:
    """Return the layer of "warmtoken.cache.vault": "cache"; of "warmtoken" itself: "__init__"."""
    return [*module.split("."), "__init__"][1]


def module_name(path: Path) -> str:
    return ".".join(["warmtoken", *path.relative_to(SOURCE).with_suffix("").parts])


def imports_of(path: Path) -> set[str]:
    """Return the modules of ours that a module imports, at its top or inside its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= (
                {node.module or ""} if node.module != "warmtoken" else {f"warmtoken.{name.name}" for name in node.names}
            )
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {_known(name) for name in found if name.split(".")[0] == "warmtoken"}


def _known(name: str) -> str:
    # `from warmtoken import TokenCache` names no module: it is the package itself that is imported.
    parts = name.split(".")[1:2]
    there = parts and (parts[0] == "_engine" or any((SOURCE / f"{parts[0]}{end}").exists() for end in ("", ".py")))
    return name if there else "warmtoken"


MODULES = sorted(SOURCE.rglob("*.py"))


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 40
    assert {"cache", "flows", "protocol"} <= {layer_of(module_name(path)) for path in MODULES}
    assert imports_of(SOURCE / "cache" / "vault.py") >= {"warmtoken._engine", "warmtoken.errors"}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    layer = layer_of(module_name(path))
    if layer in TOP:
        return
    assert layer in ALLOWED, f"{path.name} belongs to no layer that this test knows"
    imported = {layer_of(name) for name in imports_of(path)} - {layer}
    assert imported <= ALLOWED[layer] | DOORS.get(module_name(path), set())


@pytest.mark.parametrize("module", DOORS)
def test_what_is_above_is_imported_by_the_methods_that_need_it_alone(module: str) -> None:
    tree = ast.parse((SOURCE.parent / module.replace(".", "/")).with_suffix(".py").read_text())
    at_the_top = {ast.unparse(node) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert at_the_top
    assert not any(f"warmtoken.{layer}" in line for line in at_the_top for layer in DOORS[module])


def test_the_engine_imports_leaves_alone() -> None:
    engine = Path(__file__).parents[1] / "ext"
    lines = [line for path in engine.glob("*.p*") for line in path.read_text().splitlines()]
    imported = {line.split()[1] for line in lines if line.startswith(("from warmtoken", "import warmtoken"))}
    assert imported == {"warmtoken.errors", "warmtoken.models"}


def test_no_module_takes_arguments_that_it_does_not_name() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                assert node.args.kwarg is None, f"{path.name}:{node.lineno}: **{node.args.kwarg.arg}"
