"""The examples of docs/on-behalf-of.md, run against a provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.on_behalf_of import caller
from support.world import World, new_world

from warmtoken import ClientError
from warmtoken.challenge import claims_from_challenge

PAGE = (Path(__file__).parents[1] / "docs" / "on-behalf-of.md").read_text()
EXAMPLES = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


@pytest.fixture
def example(world: World) -> dict[str, Any]:
    here = EXAMPLES.replace("your-client-id", "service")
    here = here.replace('"https://login.microsoftonline.com/your-tenant"', f'"{world.idp.issuer}", cache=cache')
    names: dict[str, Any] = {"read_secret": lambda: "service-secret", "cache": world.cache}
    exec(compile(here, "docs/on-behalf-of.md", "exec"), names)
    return names


def test_an_api_calls_another_one(world: World, example: dict[str, Any]) -> None:
    token = caller(world)
    first, second = example["answer"](token), example["answer"](token)
    assert first == second
    assert (first[0], world.token_requests()) == (200, 1)


def test_the_claims_reach_the_caller(world: World, example: dict[str, Any]) -> None:
    claims = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
    token = caller(world)
    world.idp.fail_next("token", status=400, body={"error": "interaction_required", "claims": claims})
    status, headers = example["answer"](token)
    assert (status, claims_from_challenge(headers["WWW-Authenticate"])) == (401, claims)
    status, headers = example["answer"]("unknown")
    assert (status, claims_from_challenge(headers["WWW-Authenticate"])) == (401, None)


def test_a_job_goes_on_and_ends(world: World, example: dict[str, Any]) -> None:
    key = example["begin"](caller(world))
    headers = [example["go_on"](key)]
    world.clock.advance(3600)
    headers.append(example["go_on"](key))
    assert len(set(headers)) == 2
    assert [example["finish"](key) for _ in range(2)] == [True, False]
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        example["go_on"](key)
