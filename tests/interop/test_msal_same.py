"""Whatever MSAL adds and asks for, this cache has a token where MSAL's own has one, and no other tokens."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import msal
from hypothesis import given, settings
from hypothesis import strategies as st
from support.msal_apps import segment

from warmtoken import TokenCache
from warmtoken.interop import msal as interop

HOSTS = ("login.microsoftonline.com", "idp.example.test")
REALMS = ("t1", "common")
CLIENTS = ("one", "two")
USERS = ("alice", "bob", None)
SCOPES = ("a", "b", "c")

SOME_SCOPES = st.lists(st.sampled_from(SCOPES), min_size=1, unique=True)
ADDED = st.tuples(
    st.sampled_from(HOSTS), st.sampled_from(REALMS), st.sampled_from(CLIENTS), st.sampled_from(USERS), SOME_SCOPES
)
SIGNED_OUT = st.tuples(st.sampled_from(HOSTS), st.sampled_from(USERS[:2]))


def event(number: int, host: str, realm: str, client_id: str, user: str | None, scopes: list[str]) -> dict[str, Any]:
    """What MSAL tells its cache after a token request."""
    of_user = {
        "refresh_token": f"rt-{number}",
        "id_token": f"{segment({})}.{segment({'sub': user, 'oid': user})}.c2ln",
        "client_info": segment({"uid": user, "utid": "home"}),
    }
    reply = {"access_token": f"at-{number}", "token_type": "Bearer", "expires_in": 3600}
    return {
        "client_id": client_id,
        "scope": scopes,
        "environment": host,
        "token_endpoint": f"https://{host}/{realm}/oauth2/v2.0/token",
        "response": {**reply, **(of_user if user else {})},
    }


def sign_out(cache: Any, host: str, user: str) -> None:
    """What MSAL does when a user signs out."""
    owned = {"environment": host, "home_account_id": f"{user}.home"}
    for kind, remove in (
        ("RefreshToken", cache.remove_rt),
        ("AccessToken", cache.remove_at),
        ("IdToken", cache.remove_idt),
        ("Account", cache.remove_account),
    ):
        for entry in list(cache.search(kind, query=owned)):
            remove(entry)


def secrets(cache: Any, kind: str, query: dict[str, Any], scopes: tuple[str, ...] = ()) -> set[str]:
    return {entry["secret"] for entry in cache.search(kind, scopes, query)}


def check_same(ours: Any, own: Any) -> None:
    for host, realm, client_id, user in product(HOSTS, REALMS, CLIENTS, USERS):
        home = f"{user}.home" if user else None
        names = {"client_id": client_id, "environment": host, "home_account_id": home}
        searches = [("AccessToken", names | {"realm": realm}, scopes) for scopes in (("a",), ("b", "a"), SCOPES)]
        for search in [*searches, ("RefreshToken", names, ()), ("AccessToken", names, ())]:
            found, expected = secrets(ours, *search), secrets(own, *search)
            assert found <= expected
            assert bool(found) == bool(expected)
    for kind in ("IdToken", "Account", "AppMetadata"):
        for host in HOSTS:
            found, expected = (list(cache.search(kind, query={"environment": host})) for cache in (ours, own))
            assert sorted(found, key=repr_of) == sorted(expected, key=repr_of)


def repr_of(entry: dict[str, Any]) -> str:
    return repr(sorted(entry.items()))


@settings(max_examples=50, deadline=None)
@given(st.lists(ADDED | SIGNED_OUT, max_size=12))
def test_both_have_the_same_tokens(steps: list[Any]) -> None:
    own = msal.TokenCache()
    with tempfile.TemporaryDirectory() as scratch, TokenCache(Path(scratch) / "cache", key=bytes(32)) as shared:
        ours = interop.TokenCache(shared)
        for number, step in enumerate(steps):
            for cache in (ours, own):
                if len(step) == 2:
                    sign_out(cache, *step)
                else:
                    cache.add(event(number, *step), now=None)
        for _ in range(2):  # the second time from memory
            check_same(ours, own)
