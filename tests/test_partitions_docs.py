"""The example of docs/partitions.md, run against a provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.world import World, new_world

PAGE = (Path(__file__).parents[1] / "docs" / "partitions.md").read_text()
EXAMPLE = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


def test_each_customer_has_its_own_token(world: World) -> None:
    here = EXAMPLE.replace("your-client-id", "service").replace("TokenCache()", "new_cache()")
    here = here.replace('"https://login.microsoftonline.com/your-tenant"', f'"{world.idp.issuer}"')
    names: dict[str, Any] = {"read_secret": lambda: "service-secret", "new_cache": world.new_cache}
    exec(compile(here, "docs/partitions.md", "exec"), names)
    tokens = {
        names["application_of"](SimpleNamespace(id=customer)).acquire_token_for_client(["api/.default"]).access_token
        for customer in ("contoso", "fabrikam", "contoso")
    }
    assert len(tokens) == world.token_requests() == 2
