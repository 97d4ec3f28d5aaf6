"""Refresh tokens that an import kept beside the one in use: they are sent when that one is dead, the newest first."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.world import SCOPES, Client, World

from warmtoken import AuthenticationResult, UiRequiredError
from warmtoken.cache.kept_tokens import MAX_KEPT


def with_newer(world: World, *secrets: str) -> None:
    """Put refresh tokens that the provider does not know before the one of the user who signed in."""
    sections: dict[str, dict[str, dict[str, Any]]] = json.loads(world.cache.export_msal())
    [own] = sections["RefreshToken"].values()
    now = int(own["last_modification_time"])
    for age, secret in enumerate(reversed(secrets), 1):
        sections["RefreshToken"][secret] = own | {"secret": secret, "last_modification_time": str(now + age)}
    assert world.cache.import_msal(json.dumps(sections)).kept_refresh_tokens == len(secrets)


def refreshed(app: Client, signed_in: AuthenticationResult) -> AuthenticationResult:
    result: AuthenticationResult = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    return result


def kept(world: World) -> list[str]:
    return [entry["secret"] for entry in json.loads(world.cache.export_msal())["RefreshToken"].values()]


def test_a_dead_refresh_token_makes_way_for_those_kept_beside_it(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    with_newer(world, "dead-1", "dead-2")
    assert refreshed(app, signed_in).access_token != signed_in.access_token
    assert world.token_requests() == 3
    assert world.idp.counters.refreshes_granted == 1
    assert len(kept(world)) == 1


def test_the_user_is_needed_when_all_of_them_are_dead(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    with_newer(world, "dead-1", "dead-2")
    world.idp.revoke_refresh_tokens()
    with pytest.raises(UiRequiredError) as caught:
        refreshed(app, signed_in)
    assert (caught.value.code, world.token_requests(), kept(world)) == ("invalid_grant", 3, [])


def test_tokens_of_another_user_are_not_sent(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    sections = json.loads(world.cache.export_msal())
    [own] = sections["RefreshToken"].values()
    for secret in ("other-1", "other-2"):
        sections["RefreshToken"][secret] = own | {"home_account_id": "other", "secret": secret}
    assert world.cache.import_msal(json.dumps(sections)).kept_refresh_tokens == 1
    world.idp.revoke_refresh_tokens()
    with pytest.raises(UiRequiredError):
        refreshed(app, signed_in)
    assert world.token_requests() == 1
    assert sorted(kept(world)) == ["other-1", "other-2"]


def test_only_so_many_are_kept(world: World, app: Client) -> None:
    world.sign_in(app)
    with_newer(world, *(f"dead-{i}" for i in range(MAX_KEPT)))
    sections = json.loads(world.cache.export_msal())
    newest = list(sections["RefreshToken"].values())[-1]
    later = {"secret": "one-more", "last_modification_time": str(int(newest["last_modification_time"]) + 1)}
    sections["RefreshToken"] = {"a": newest | later}
    world.cache.import_msal(json.dumps(sections))
    assert len(kept(world)) == 1 + MAX_KEPT
    assert kept(world)[-1] == "one-more"
