"""docs/msal.md names what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmtoken.interop.msal_dialects import DIALECTS
from warmtoken.interop.msal_reasons import KNOWN_REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "msal.md").read_text()


@pytest.mark.parametrize("reason", KNOWN_REASONS)
def test_every_reason_is_described(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_named(dialect: str) -> None:
    assert f'`"{dialect}"`' in PAGE
