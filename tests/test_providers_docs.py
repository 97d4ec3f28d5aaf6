"""The example of docs/providers.md, run against a provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.world import World, new_world

PAGE = (Path(__file__).parents[1] / "docs" / "providers.md").read_text()
EXAMPLE = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


def test_each_api_has_its_own_token(world: World) -> None:
    here = EXAMPLE.replace("your-client-id", "service").replace("TokenCache()", "new_cache()")
    here = here.replace("https://your-tenant.auth0.com/", world.idp.issuer)
    names: dict[str, Any] = {"read_secret": lambda: "service-secret", "new_cache": world.new_cache}
    exec(compile(here, "docs/providers.md", "exec"), names)
    again = names["application_for"]("https://orders.example").acquire_token_for_client(["read"])
    other = names["application_for"]("https://billing.example").acquire_token_for_client(["read"])
    assert again.access_token == names["token"] != other.access_token
    assert [asked.parameters["audience"] for asked in world.idp.token_requests] == [
        "https://orders.example",
        "https://billing.example",
    ]
