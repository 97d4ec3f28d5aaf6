"""`import warmtoken` and a hit in a fresh process load nothing heavy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from isolated.support import KEY, run

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"ssl", "asyncio", "httpx2", "joserfc", "cryptography.x509", "http.server"}


def test_importing_loads_nothing_heavy_and_nor_does_a_hit(directory: Path) -> None:
    run("warm_hit.py", "prepare", directory, KEY.hex())
    found = json.loads(run("warm_hit.py", "hit", directory, KEY.hex()))
    assert found["sources"] == ["cache", "cache"]
    assert found["levels"] == ["store", "L1"]
    assert not HEAVY & set(found["after_import"])
    assert not HEAVY & set(found["after_hit"])
    assert not {"cryptography", "platformdirs", "orjson"} & set(found["after_import"])


def test_nor_does_a_hit_of_a_managed_identity(directory: Path) -> None:
    run("warm_identity.py", "prepare", directory, KEY.hex())
    found = json.loads(run("warm_identity.py", "hit", directory, KEY.hex()))
    assert found["levels"] == ["store", "L1"]
    assert not HEAVY & set(found["loaded"])
