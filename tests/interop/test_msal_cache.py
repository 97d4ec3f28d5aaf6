"""The rules of the cache for MSAL: what is found where, what is one transaction, what memory may say."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msal
import pytest
from support.chains import all_that_is_told_by
from support.msal_apps import segment

from warmtoken import CacheError, ClientError, TokenCache
from warmtoken.cache.entries import Entries
from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.interop import msal as interop
from warmtoken.interop import msal_memory
from warmtoken.interop.msal_queries import Search
from warmtoken.protocol.authority import parse_authority, request_authority

HOST = "login.microsoftonline.com"
CLIENT = "client"
AT, RT = "AccessToken", "RefreshToken"
ID, ACCOUNT, APP = "IdToken", "Account", "AppMetadata"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=bytes(32)) as made:
        yield made


@pytest.fixture
def cache(shared: TokenCache) -> interop.SerializableTokenCache:
    return interop.SerializableTokenCache(shared)


def add(
    cache: Any,
    secret: str = "at",
    scopes: tuple[str, ...] = ("Mail.Read", "User.Read"),
    *,
    user: str | None = "alice",
    host: str = HOST,
    client_id: str | None = CLIENT,
    realm: str = "tenant",
    data: dict[str, str] | None = None,
    now: float | None = None,
    **response: Any,
) -> None:
    """Do what MSAL does after a token request; `user` None is the client itself."""
    identity = {"oid": user, "sub": user, "preferred_username": f"{user}@contoso.example"}
    of_user = {"refresh_token": f"rt-of-{user}", "id_token_claims": identity, "client_info": client_info(user)}
    reply = {
        "access_token": secret,
        "token_type": "Bearer",
        "expires_in": 3600,
        **(of_user if user else {}),
        **response,
    }
    event = {
        "client_id": client_id,
        "scope": list(scopes),
        "environment": host,
        "token_endpoint": f"https://{host}/{realm}/oauth2/v2.0/token",
        "data": data or {},
        "response": reply,
    }
    cache.add(event, now=now)


def client_info(user: str | None) -> str:
    return segment({"uid": user, "utid": "tenant"})


def slot(user: str | None = "alice", **more: Any) -> dict[str, Any]:
    """The query that MSAL's silent method makes."""
    home = f"{user}.tenant" if user else None
    return {"client_id": CLIENT, "environment": HOST, "realm": "tenant", "home_account_id": home, **more}


def secrets(cache: Any, scopes: tuple[str, ...], query: dict[str, Any], kind: str = AT) -> list[str]:
    return [entry["secret"] for entry in cache.search(kind, list(scopes), query)]


# --- what is found ---


def test_a_token_serves_each_part_of_its_scopes_and_no_others(cache: Any) -> None:
    add(cache)
    for scopes in (
        ("User.Read",),
        ("Mail.Read",),
        ("User.Read", "Mail.Read"),
        ("user.read",),
        ("USER.READ", "Mail.Read"),
    ):
        for _ in range(2):
            assert secrets(cache, scopes, slot()) == ["at"]
    for scopes in (("Other",), ("User.Read", "Other"), ("openid",), ("openid", "User.Read")):
        for _ in range(2):
            assert secrets(cache, scopes, slot()) == []


def test_no_name_of_a_user_is_taken_for_the_client_itself(cache: Any) -> None:
    add(cache, "own", user=None)
    assert secrets(cache, ("User.Read",), slot(None)) == ["own"]
    for user in ("None", "", "None'), ('key_id', 'k"):
        assert secrets(cache, ("User.Read",), slot() | {"home_account_id": user}) == (["own"] if not user else [])
    add(cache, "bound", data={"key_id": "k"})
    assert secrets(cache, ("User.Read",), slot(key_id="k")) == ["bound"]
    assert secrets(cache, ("User.Read",), slot() | {"home_account_id": "alice.tenant'), ('key_id', 'k"}) == []


def test_a_type_that_is_not_known_has_no_entries(cache: Any) -> None:
    add(cache, data={"fmi_path": "p"})
    assert list(cache.search("atext")) == []


@pytest.mark.parametrize(
    "other",
    [
        {"home_account_id": "bob.tenant"},
        {"home_account_id": None},
        {"client_id": "another"},
        {"realm": "elsewhere"},
        {"environment": "login.microsoftonline.us"},
        {"environment": "login.windows.net"},
        {"key_id": "k"},
        {"ext_cache_key": "e"},
        {"token_type": "pop"},
        {"secret": "another"},
    ],
)
def test_a_token_is_served_to_its_own_request_alone(cache: Any, other: dict[str, Any]) -> None:
    add(cache)
    for _ in range(2):
        assert secrets(cache, ("User.Read",), slot(**other)) == []
    assert secrets(cache, ("User.Read",), slot()) == ["at"]


def test_the_token_that_expires_last_comes_first_and_the_others_follow(cache: Any) -> None:
    add(cache, "early", ("a", "b"), expires_in=1000)
    add(cache, "late", ("a", "c"), expires_in=2000)
    for _ in range(2):
        assert secrets(cache, ("a",), slot()) == ["late", "early"]
        assert secrets(cache, ("a",), slot(secret="early")) == ["early"]


def test_tokens_that_expired_are_left_out_but_for_the_best(cache: Any) -> None:
    add(cache, "expired", ("a", "b"), expires_in=-200)
    add(cache, "newer", ("a", "c"), expires_in=-100)
    assert secrets(cache, ("a",), slot()) == ["newer"]
    assert secrets(cache, (), {"client_id": CLIENT}) == []
    before = time.time() - 300
    assert len(list(cache.search(AT, query={"client_id": CLIENT}, now=before))) == 2


def test_a_bound_token_is_for_requests_that_name_what_binds_it(cache: Any) -> None:
    add(cache, "plain")
    add(cache, "with key", data={"key_id": "k"}, token_type="pop")
    add(cache, "with path", data={"fmi_path": "p"})
    assert not [entry for entry in cache.search(AT, query={}) if "ext_cache_key" in entry]
    path = msal.token_cache._compute_ext_cache_key({"fmi_path": "p"})
    for _ in range(2):
        assert secrets(cache, ("User.Read",), slot()) == ["plain"]
        assert secrets(cache, ("User.Read",), slot(key_id="k")) == ["with key"]
        assert secrets(cache, ("User.Read",), slot(ext_cache_key=path)) == ["with path"]


def test_all_types_of_token_are_found(cache: Any) -> None:
    add(cache, "odd", token_type="some type")
    for _ in range(2):
        assert secrets(cache, ("User.Read",), slot()) == ["odd"]


def test_the_user_of_a_family_is_found_by_each_member(cache: Any) -> None:
    add(cache, foci="1")
    owned = {"environment": HOST, "home_account_id": "alice.tenant"}
    assert secrets(cache, (), owned | {"family_id": "1"}, RT) == ["rt-of-alice"]
    assert secrets(cache, (), owned | {"client_id": CLIENT}, RT) == ["rt-of-alice"]
    assert secrets(cache, (), owned | {"client_id": "another"}, RT) == []
    [account] = cache.search(ACCOUNT, query={})
    cache.remove_account(account)
    assert list(cache.search(ACCOUNT, query={})) == []
    assert cache._get_app_metadata(HOST, CLIENT)["family_id"] == "1"
    assert cache._get_app_metadata(HOST, "another", {}) == {}


def test_a_bound_refresh_token_serves_no_client_and_goes_with_its_user(cache: Any, shared: TokenCache) -> None:
    add(cache)
    [entry] = cache.search(RT, query={})
    shared.import_msal(json.dumps({RT: {"": entry | {"secret": "bound", "user_assertion_hash": "h"}}}))
    owned = {"environment": HOST, "home_account_id": "alice.tenant"}
    assert secrets(cache, (), owned | {"client_id": CLIENT}, RT) == ["rt-of-alice"]
    assert sorted(secrets(cache, (), owned, RT)) == ["bound", "rt-of-alice"]


def test_refresh_tokens_that_an_import_kept_are_tried_too_and_removed_by_themselves(
    cache: Any, shared: TokenCache
) -> None:
    add(cache)
    [entry] = cache.search(RT, query={})
    older = entry | {"secret": "older", "last_modification_time": "1"}
    shared.import_msal(json.dumps({RT: {"": older}}))
    query = {"environment": HOST, "home_account_id": "alice.tenant", "client_id": CLIENT}
    assert sorted(secrets(cache, (), query, RT)) == ["older", "rt-of-alice"]
    cache.remove_rt(entry)
    assert secrets(cache, (), query, RT) == ["older"]
    cache.remove_rt(older)
    assert secrets(cache, (), query, RT) == []


def test_who_names_no_client_finds_the_entries_of_all(cache: Any) -> None:
    for client_id in (CLIENT, "another"):
        add(cache, client_id=client_id)
    owned = {"environment": HOST, "home_account_id": "alice.tenant"}
    for kind in (AT, RT):
        assert {entry["client_id"] for entry in cache.search(kind, query=owned)} == {CLIENT, "another"}
    [account] = cache.search(ACCOUNT, query=owned)
    cache.remove_account(account)
    assert list(cache.search(ACCOUNT, query=owned)) == []


def test_ad_fs_and_a_managed_identity_come_back_as_they_were(cache: Any) -> None:
    add(cache, host="fs.contoso.example", realm="adfs")
    add(cache, "of the machine", ("R",), user=None, host="localhost", client_id=None, realm="managed_identity")
    found = slot(environment="fs.contoso.example", realm="adfs")
    assert secrets(cache, ("User.Read",), found) == ["at"]
    [account] = cache.search(ACCOUNT, query={"environment": "fs.contoso.example"})
    assert (account["realm"], account["authority_type"]) == ("adfs", "ADFS")
    found = slot(None, client_id=None, environment="localhost", realm="managed_identity")
    [entry] = cache.search(AT, ["R"], found)
    assert (entry["client_id"], entry["home_account_id"]) == (None, None)


@pytest.mark.parametrize(
    ("url", "host", "realm"),
    [
        ("https://fs.contoso.example/adfs", "fs.contoso.example", "adfs"),
        ("https://login.microsoftonline.us/common", "login.usgovcloudapi.net", "common"),
        ("https://login.microsoftonline.com/t1", "login.windows.net", "T1"),
    ],
)
def test_a_token_lies_where_our_applications_look_for_it(
    cache: Any, shared: TokenCache, url: str, host: str, realm: str
) -> None:
    authority = request_authority(parse_authority(url), "alice.tenant", None)
    place = Slot(Owner(authority.cache_name, CLIENT, "alice.tenant"), authority.tenant)
    add(cache, host=host, realm=realm)
    found = shared.vault().find_access_token(place, ("user.read",), 0)
    assert found is not None
    assert (found.secret, found.local_account_id) == ("at", "alice")
    assert secrets(cache, ("User.Read",), slot(environment=host, realm=realm)) == ["at"]


@pytest.mark.parametrize("host", ["contoso.b2clogin.com", "contoso.ciamlogin.com", "idp.example.test"])
def test_what_was_serialized_elsewhere_is_found_at_any_provider(cache: Any, host: str) -> None:
    own = msal.SerializableTokenCache()
    claims = {"iss": f"https://{host}/tenant/v2.0/", "sub": "alice", "tid": "tenant", "tfp": "b2c_1_flow"}
    add(own, host=host, id_token=f"h.{segment(claims)}.s")
    cache.deserialize(own.serialize())
    assert secrets(cache, ("User.Read",), slot(environment=host)) == ["at"]
    assert secrets(cache, ("User.Read",), slot(environment=host, realm="elsewhere")) == []
    query = {"environment": host, "home_account_id": "alice.tenant"}
    assert secrets(cache, (), query | {"client_id": CLIENT}, RT) == ["rt-of-alice"]
    for kind in (RT, ACCOUNT, ID):
        assert len(list(cache.search(kind, query=query))) == 1
    for kind, remove in (
        (RT, cache.remove_rt), (AT, cache.remove_at), (ID, cache.remove_idt), (ACCOUNT, cache.remove_account),
    ):  # fmt: skip
        for entry in list(cache.search(kind, query=query)):
            remove(entry)
        assert list(cache.search(kind, query=query)) == []


def test_find_warns_as_msals_does(cache: Any) -> None:
    add(cache)
    with pytest.warns(DeprecationWarning, match="search"):
        assert len(cache.find(AT)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cache.find(AT, ["Other"]) == []


# --- how it is found ---


def test_a_search_keeps_no_lock_and_no_transaction_while_the_caller_runs(cache: Any, shared: TokenCache) -> None:
    for number in range(20):
        add(cache, user=f"user{number}")
    searches = [
        cache.search(AT, ["User.Read"], slot("user3")),
        *(cache.search(kind, query={"environment": HOST}) for kind in (AT, RT, ID, ACCOUNT)),
    ]
    for search in searches:
        if next(search, None) is not None:
            assert shared.stats().oldest_read_transaction is None
            add(cache, user="another")
            list(search)


def test_a_search_reads_no_more_than_the_caller_takes(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        add(cache, user=f"user{number}")
    read: list[bytes] = []
    opened = Entries.opened

    def watched(self: Entries, kind: Any, key: bytes, value: bytes) -> Any:
        read.append(key)
        return opened(self, kind, key, value)

    monkeypatch.setattr(Entries, "opened", watched)
    next(cache.search(ACCOUNT, query={"environment": HOST}))
    next(cache.search(AT, query={}))
    assert len(read) == 2


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (AT, slot()),
        (AT, {"environment": HOST, "home_account_id": "alice.tenant"}),
        (AT, {"environment": HOST, "client_id": CLIENT, "home_account_id": None}),
        (RT, {"environment": HOST, "home_account_id": "alice.tenant"}),
        (RT, {"environment": HOST, "home_account_id": "alice.tenant", "family_id": "1"}),
        (RT, {"environment": "login.windows.net"}),
        (ID, {"environment": HOST, "home_account_id": "alice.tenant"}),
        (ACCOUNT, {"environment": HOST}),
        (ACCOUNT, {"environment": HOST, "home_account_id": "alice.tenant"}),
        (APP, {"environment": HOST, "client_id": CLIENT}),
    ],
)
def test_no_search_that_names_a_place_looks_at_others(
    cache: Any, monkeypatch: pytest.MonkeyPatch, kind: str, query: dict[str, Any]
) -> None:
    for user in ("alice", "bob", None):
        add(cache, user=user, **({"id_token": "h." + client_info(user) + ".s"} if user else {}))
    under = Entries.sealed_under

    def watched(self: Entries, kind: Any, prefix: bytes) -> Any:
        assert len(prefix) >= 16, "the whole database was looked at"
        return under(self, kind, prefix)

    monkeypatch.setattr(Entries, "sealed_under", watched)
    target = ["User.Read"] if "realm" in query else None
    found = list(cache.search(kind, target, query))
    assert bool(found) is (query.get("environment") == HOST and "family_id" not in query)


def test_what_was_found_is_found_in_memory(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    add(cache)
    owned = {"environment": HOST, "home_account_id": "alice.tenant"}
    asked = [
        lambda: next(cache.search(AT, ["User.Read"], slot())),
        lambda: list(cache.search(AT, ["Other"], slot())),
        lambda: list(cache.search(RT, query=owned)),
        lambda: list(cache.search(RT, query={"environment": "login.windows.net"})),
        lambda: list(cache.search(ACCOUNT, query={"environment": HOST})),
        lambda: cache._get_app_metadata(HOST, CLIENT),
        lambda: cache._get_app_metadata(HOST, "another", {}),
    ]
    first = [ask() for ask in asked]

    def refuse(*_: Any) -> Any:
        raise AssertionError("the file was searched again")

    for method in ("best", "entries", "all_in_slots"):
        monkeypatch.setattr(Search, method, refuse)
    assert [ask() for ask in asked] == first
    assert first[0]["secret"] == "at"


def test_what_is_in_memory_cannot_be_changed_through_an_entry(cache: Any) -> None:
    add(cache)
    for kind, target, query in ((AT, ["User.Read"], slot()), (ACCOUNT, None, {"environment": HOST})):
        for _ in range(3):
            [entry] = cache.search(kind, target, query)
            assert entry.pop("home_account_id") == "alice.tenant"


def test_a_search_in_a_state_that_cannot_be_told_is_not_kept(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that died may have left a transaction that readers do not see yet."""
    add(cache)
    with monkeypatch.context() as patched:
        patched.setattr(msal_memory._engine, "read", lambda *_: (0, None))
        for _ in range(2):
            assert len(list(cache.search(ACCOUNT, query={"environment": HOST}))) == 1
    assert cache._memory.recall(shared_vault(cache), (ACCOUNT, ("environment", HOST))) is None


def shared_vault(cache: Any) -> Any:
    return cache.shared.vault()


def test_memory_says_nothing_that_another_has_changed(cache: Any, shared: TokenCache) -> None:
    other = interop.TokenCache(shared)
    for number in range(3):
        add(other, f"at {number}", refresh_token=f"rt {number}")
        assert secrets(cache, ("User.Read",), slot()) == [f"at {number}"]
        assert secrets(cache, (), {"environment": HOST, "home_account_id": "alice.tenant"}, RT) == [f"rt {number}"]
        assert secrets(cache, ("Other",), slot()) == []
    add(other, "other", ("Other",))
    assert secrets(cache, ("Other",), slot()) == ["other"]
    for entry in list(other.search(AT, query={})):
        other.remove_at(entry)
    assert secrets(cache, ("User.Read",), slot()) == []


def test_accounts_that_nobody_has_written_are_not_opened_again(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        add(cache, user=f"user{number}")

    def listed() -> set[str]:
        return {entry["username"].partition("@")[0] for entry in cache.search(ACCOUNT, query={"environment": HOST})}

    assert len(listed()) == 10
    opened: list[bytes] = []
    open_one = Entries.opened

    def watched(self: Entries, kind: Any, key: bytes, value: bytes) -> Any:
        opened.append(key)
        return open_one(self, kind, key, value)

    monkeypatch.setattr(Entries, "opened", watched)
    add(cache, user="another")
    [gone] = cache.search(ACCOUNT, query={"environment": HOST, "home_account_id": "user3.tenant"})
    cache.remove_account(gone)
    opened.clear()
    assert listed() == {"another", *(f"user{number}" for number in range(10) if number != 3)}
    assert len(opened) == 1
    add(cache, user="user5", id_token_claims={"oid": "user5", "sub": "user5", "preferred_username": "renamed@x"})
    assert listed() >= {"another", "renamed"}


# --- what is written ---


def test_add_is_one_transaction(cache: Any, shared: TokenCache) -> None:
    add(cache, user="bob")
    before = shared.vault().newest
    add(cache, id_token="h." + client_info("alice") + ".s")
    assert shared.vault().newest == before + 1
    assert {section: len(entries) for section, entries in cache._cache.items()} == {
        AT: 2, RT: 2, ID: 1, ACCOUNT: 2, APP: 1,
    }  # fmt: skip


def test_an_entry_comes_back_as_msal_would_have_kept_it(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = msal.SerializableTokenCache()
    now = int(time.time())
    monkeypatch.setattr(time, "time", lambda: float(now))  # MSAL reads it too, for what it modified last
    for each in (cache, own):
        add(
            each,
            now=now,
            refresh_in=1800,
            ext_expires_in=7200,
            id_token="h." + client_info("alice") + ".s",
        )
        add(each, "for a key", user=None, data={"key_id": "k"}, now=now, realm="common")
    assert dict(cache._cache) == own._cache


def test_entries_are_changed_and_removed_by_msals_methods(cache: Any) -> None:
    add(cache, id_token="h." + client_info("alice") + ".s")
    [token] = cache.search(RT, query={})
    cache.update_rt(token, "newer")
    [token] = cache.search(RT, query={})
    assert token["secret"] == "newer"
    for kind, remove in (
        (AT, cache.remove_at), (RT, cache.remove_rt), (ID, cache.remove_idt), (ACCOUNT, cache.remove_account),
    ):  # fmt: skip
        [entry] = cache.search(kind, query={})
        remove(entry)
        assert list(cache.search(kind, query={})) == []


@pytest.mark.parametrize("lifetime", [10**18, -(10**18)])
def test_a_time_that_no_record_can_hold_is_kept_as_the_furthest_that_one_can(cache: Any, lifetime: int) -> None:
    add(cache, expires_in=lifetime, refresh_in=lifetime)
    assert secrets(cache, (), {"environment": HOST, "home_account_id": "alice.tenant"}, RT) == ["rt-of-alice"]
    assert secrets(cache, ("User.Read",), slot()) == (["at"] if lifetime > 0 else [])


def test_a_text_that_no_record_can_hold_is_logged_and_stays_the_applications(
    cache: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add(cache, "\ud800secret")
    assert "could not be stored" in caplog.text
    assert "secret" not in caplog.text
    assert list(cache.search(AT, query={})) == []


def test_no_error_of_such_a_text_holds_it(cache: Any) -> None:
    add(cache)
    (entry,) = cache.search(AT, query={})
    with pytest.raises(ClientError, match="text_invalid") as refused:
        cache.modify(AT, entry, {"secret": "\ud800CANARY"})
    assert "CANARY" not in all_that_is_told_by(refused.value)


def test_a_token_that_cannot_be_stored_is_logged_and_stays_the_applications(
    cache: Any, shared: TokenCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add(cache)

    def fail(*_: Any) -> Any:
        raise CacheError("map_full", "expected room, found none")

    with monkeypatch.context() as patched:
        patched.setattr(shared.vault().shared, "commit", fail)
        with caplog.at_level(logging.ERROR, "warmtoken"):
            add(cache, "newer", refresh_token="newer")
        assert "could not be stored" in caplog.text
        assert "newer" not in caplog.text
        [token] = cache.search(AT, query={})
        with pytest.raises(CacheError):
            cache.remove_at(token)
        with caplog.at_level(logging.CRITICAL, "warmtoken"):
            add(cache, "newest", refresh_token="newest")
    # The refresh token in the file is spent: the newest one is written as soon as that can be done.
    assert secrets(cache, (), {"environment": HOST, "home_account_id": "alice.tenant"}, RT) == ["newest"]


def test_a_closed_cache_says_so(cache: Any, shared: TokenCache) -> None:
    add(cache)
    shared.close()
    with pytest.raises(ClientError, match="closed"):
        next(cache.search(AT, ["User.Read"], slot()))


def test_only_a_token_cache_is_taken() -> None:
    with pytest.raises(TypeError, match=r"warmtoken\.TokenCache"):
        interop.TokenCache("path")  # type: ignore[arg-type]


def test_a_cache_opens_nothing_before_its_first_use(tmp_path: Path) -> None:
    cache = interop.TokenCache(TokenCache(tmp_path / "cache", key=bytes(32)))
    assert not (tmp_path / "cache").exists()
    assert list(cache.search(AT, ["User.Read"], slot())) == []
    assert (tmp_path / "cache").exists()


# --- serializing ---


def test_what_is_serialized_msal_reads_and_the_other_way_round(cache: Any, tmp_path: Path) -> None:
    add(cache)
    own = msal.SerializableTokenCache()
    own.deserialize(cache.serialize())
    assert secrets(own, ("User.Read",), slot()) == ["at"]
    add(own, "newer")
    with TokenCache(tmp_path / "second", key=bytes(32)) as second:
        copy = interop.SerializableTokenCache(second)
        copy.deserialize(own.serialize())
        assert secrets(copy, ("User.Read",), slot()) == ["newer"]
        assert json.loads(copy.serialize()) == json.loads(own.serialize())


def test_deserializing_is_one_transaction_and_takes_nothing_away(cache: Any, shared: TokenCache) -> None:
    add(cache)
    for state in ("", None, "{}", '{"AccessToken": {}}'):
        cache.deserialize(state)
    assert secrets(cache, ("User.Read",), slot()) == ["at"]
    own = msal.SerializableTokenCache()
    for user in ("bob", "carol"):
        add(own, user=user, client_id="another")
    before = shared.vault().newest
    cache.deserialize(own.serialize())
    assert shared.vault().newest == before + 1
    assert len(list(cache.search(ACCOUNT, query={"environment": HOST}))) == 3
    owned = {"environment": HOST, "home_account_id": "bob.tenant"}
    assert [entry["client_id"] for entry in cache.search(RT, query=owned)] == ["another"]


@pytest.mark.parametrize("state", ["not JSON", "[]", '"text"', '{"AccessToken": []}', '{"Account":' + "[" * 200_000])
def test_what_is_no_cache_is_refused_whole(cache: Any, state: str) -> None:
    add(cache)
    before = cache.serialize()
    with pytest.raises((ValueError, ClientError)):
        cache.deserialize(state)
    assert cache.serialize() == before


def test_what_is_not_known_is_serialized_again(cache: Any) -> None:
    add(cache)
    cache.deserialize('{"AccessToken": {"odd": {"foo": "bar"}}, "customized": {"a": [1]}}')
    found = json.loads(cache.serialize())
    assert found["customized"] == {"a": [1]}
    assert found[AT].pop("odd") == {"foo": "bar"}
    assert len(found[AT]) == 1


@pytest.mark.parametrize("beside", ["null", '{"good": {}}'])
def test_entries_of_a_section_that_is_spelt_otherwise_are_passed_over(cache: Any, beside: str) -> None:
    cache.deserialize(f'{{"accesstoken": {{"odd": {{"foo": "bar"}}}}, "AccessToken": {beside}}}')
    assert "odd" not in json.loads(cache.serialize()).get(AT, {})


def test_has_state_changed_since_it_was_serialized_last(cache: Any) -> None:
    assert not cache.has_state_changed
    add(cache)
    assert cache.has_state_changed
    cache.serialize()
    assert not cache.has_state_changed
    [token] = cache.search(RT, query={})
    cache.update_rt(token, "newer")
    assert cache.has_state_changed
    cache.deserialize("{}")
    assert not cache.has_state_changed


def test_a_section_that_is_assigned_replaces_what_was_there(cache: Any) -> None:
    for user in ("alice", "bob"):
        add(cache, user=user)
    tokens = cache._cache[AT]
    kept = {key: entry for key, entry in tokens.items() if entry["home_account_id"] == "bob.tenant"}
    cache._cache[AT] = kept
    assert cache._cache[AT] == kept
    del cache._cache[AT]
    assert set(cache._cache) == {RT, ACCOUNT, APP}
