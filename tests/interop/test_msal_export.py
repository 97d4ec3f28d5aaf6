"""What an export writes: each dialect's keys and fields, and nothing lost on the way out and in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from interop.conftest import MakeCache
from support.msal_texts import CLIENT, DIALECTS, HOST, NOW, TENANT, USER, access, account, identity, refresh, text_of

from warmtoken import TokenCache
from warmtoken.interop.msal_import import import_into
from warmtoken.testing import Clock

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
every_other = pytest.mark.parametrize("other", DIALECTS)


def exported(cache: TokenCache, dialect: str) -> dict[str, dict[str, dict[str, Any]]]:
    sections: dict[str, dict[str, dict[str, Any]]] = json.loads(cache.export_msal(dialect))
    return sections


def said(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value not in (None, "")}


@every_dialect
def test_each_dialect_has_the_keys_and_fields_that_its_library_writes(cache: TokenCache, dialect: str) -> None:
    sections = DIALECTS[dialect]()
    cache.import_msal(json.dumps(sections))
    found = exported(cache, dialect)
    for section, entries in sections.items():
        assert found[section].keys() == entries.keys()
        for key, entry in entries.items():
            assert found[section][key] == found[section][key] | said(entry)


@every_dialect
@every_other
def test_export_then_import_is_the_identity(make_cache: MakeCache, dialect: str, other: str) -> None:
    first, second = make_cache(), make_cache()
    first.import_msal(json.dumps(DIALECTS[dialect]() | {"Future": {"a": [1]}}))
    report = second.import_msal(first.export_msal(other))
    assert report.skipped == ()
    for last in DIALECTS:
        assert second.export_msal(last) == first.export_msal(last)


@every_dialect
def test_what_is_odd_comes_back_too(make_cache: MakeCache, dialect: str) -> None:
    first, second = make_cache(), make_cache()
    first.import_msal(
        text_of(
            AccessToken=[
                access(realm="common", odd={"a": [None]}, empty="", cached_at="soon", ext_expires_on="5"),
                access("at-1", key_id="k1", token_type="pop"),
                access("at-2", kid="k2", token_type="PoP"),
                access("at-3", keyid="k3", token_type="ssh-cert"),
                access("at-4", ext={"a": "b", "c": "d"}),
                access("at-5", ext_cache_key="hash"),
                access("at-6", ext={"a": "b"}, user_assertion_hash="h="),
                access("at-7", target=""),
                access("at-8", target="X", client_info=[], family_id=""),
            ],
            RefreshToken=[
                refresh(last_modification_time="x", family_id="1"),
                refresh("rt-2", target="B"),
                refresh("rt-3", target="C"),
                refresh("rt-4", user_assertion_hash="h"),
                refresh("rt-5", ext={"a": "b"}),
            ],
            IdToken=[
                identity(realm="common", user_assertion_hash="h"),
                identity("not.a.jwt", realm="other", key_id=None),
            ],
            Account=[account(realm="common"), account(realm="other", tenants=["t"]), account(home_account_id="nobody")],
        )
    )
    report = second.import_msal(first.export_msal(dialect))
    assert report.skipped == ()
    assert report.imported["AccessToken"] == 9
    for last in DIALECTS:
        assert second.export_msal(last) == first.export_msal(last)


@pytest.mark.parametrize(
    ("dialect", "name"), [("dotnet", "kid"), ("python", "key_id"), ("go", "keyid"), ("node", "key_id")]
)
def test_the_id_of_a_bound_key_is_spelled_as_each_library_does(cache: TokenCache, dialect: str, name: str) -> None:
    cache.import_msal(text_of(AccessToken=[access(key_id="k1", token_type="pop")]))
    [entry] = exported(cache, dialect)["AccessToken"].values()
    assert {spelling: entry.get(spelling) for spelling in ("kid", "key_id", "keyid")} == dict.fromkeys(
        ("kid", "key_id", "keyid")
    ) | {name: "k1"}


@pytest.mark.parametrize(
    ("token_type", "kind", "suffix"),
    [("pop", "accesstoken_with_authscheme", "-pop"), ("ssh-cert", "accesstoken", ""), ("bearer", "accesstoken", "")],
)
def test_msal_net_has_the_token_type_in_keys_of_bound_tokens(
    cache: TokenCache, token_type: str, kind: str, suffix: str
) -> None:
    cache.import_msal(text_of(AccessToken=[access(token_type=token_type, kid="k1")]))
    assert list(exported(cache, "dotnet")["AccessToken"]) == [
        f"{USER}-{HOST}-{kind}-{CLIENT}-{TENANT}-mail.read user.read{suffix}"
    ]


def test_msal_net_never_serves_a_token_bound_by_a_hash_to_a_plain_request(cache: TokenCache) -> None:
    # It looks at the map of components alone.
    cache.import_msal(text_of(AccessToken=[access(ext_cache_key="hash")]))
    [entry] = exported(cache, "dotnet")["AccessToken"].values()
    assert entry["ext"] == {"ext_cache_key": "hash"}


@pytest.mark.parametrize("dialect", ["python", "go"])
def test_a_map_of_components_has_the_hash_that_the_others_look_at(cache: TokenCache, dialect: str) -> None:
    cache.import_msal(json.dumps(DIALECTS["dotnet"]()))
    hashes = {entry.get("ext_cache_key") for entry in exported(cache, dialect)["AccessToken"].values()}
    fmi = {entry.get("ext_cache_key") for entry in DIALECTS["python"]()["AccessToken"].values()}
    assert hashes == fmi


def test_msal_net_gets_times_twice_and_no_empty_fields(cache: TokenCache) -> None:
    cache.import_msal(text_of(AccessToken=[access(home_account_id=None)], Account=[account(username="")]))
    sections = exported(cache, "dotnet")
    [entry] = sections["AccessToken"].values()
    assert entry["ext_expires_on"] == entry["extended_expires_on"] == str(NOW + 3540)
    assert "token_type" not in entry
    assert "home_account_id" not in entry
    assert "username" not in sections["Account"].popitem()[1]


def test_keys_of_two_entries_are_never_the_same(cache: TokenCache) -> None:
    # MSAL Python has no place for the key's id in a key, and Node none for the realm of an account.
    cache.import_msal(
        text_of(
            AccessToken=[access("at-1", key_id="k1", token_type="pop"), access("at-2", key_id="k2", token_type="pop")],
            RefreshToken=[refresh("rt-1", last_modification_time="5"), refresh("rt-2")],
            IdToken=[identity()],
            Account=[account(), account(realm="other")],
        )
    )
    for dialect in DIALECTS:
        sections = exported(cache, dialect)
        assert [len(sections[name]) for name in ("AccessToken", "RefreshToken", "Account")] == [2, 2, 2]
    newest_last = list(exported(cache, "dotnet")["RefreshToken"].items())
    key = f"{USER}-{HOST}-refreshtoken-{CLIENT}--"
    assert [(name, entry["secret"]) for name, entry in newest_last] == [(f"{key}-2", "rt-1"), (key, "rt-2")]


def test_an_account_of_several_clients_is_written_once(cache: TokenCache) -> None:
    cache.import_msal(text_of(RefreshToken=[refresh(), refresh(client_id="cli-9")], Account=[account()]))
    assert len(exported(cache, "python")["Account"]) == 1


def test_tokens_that_expired_meanwhile_are_not_written(cache: TokenCache, clock: Clock) -> None:
    cache.import_msal(text_of(AccessToken=[access()]))
    clock.advance(3540)
    assert exported(cache, "python")["AccessToken"] == {}


def test_all_that_was_imported_is_there_under_a_new_data_key(cache: TokenCache) -> None:
    tokens = [refresh(), refresh("rt-2", target="B"), refresh("rt-3", user_assertion_hash="h")]
    cache.import_msal(json.dumps(DIALECTS["dotnet"]() | {"Future": {"a": 1}}))
    cache.import_msal(text_of(RefreshToken=tokens))
    before = cache.export_msal()
    rotation = cache.rotate_data_key()
    assert (rotation.records > 10, rotation.unreadable) == (True, 0)
    assert cache.export_msal() == before


def test_another_dialect_is_a_value_error(cache: TokenCache) -> None:
    with pytest.raises(ValueError, match="expected a dialect, one of dotnet, python, java, go, node, got 'perl'"):
        cache.export_msal("perl")


@pytest.mark.parametrize("dialect", [None, ["python"], b"python"])
def test_a_dialect_of_another_type_is_a_type_error(cache: TokenCache, dialect: Any) -> None:
    with pytest.raises(TypeError, match="expected dialect to be a str"):
        cache.export_msal(dialect)


def test_an_empty_cache_is_an_empty_cache(cache: TokenCache) -> None:
    sections = ("AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata")
    assert exported(cache, "python") == {section: {} for section in sections}
    assert import_into(cache.vault(), cache.export_msal(), NOW).skipped == ()


def test_tenants_are_those_of_the_tokens(cache: TokenCache) -> None:
    cache.import_msal(text_of(AccessToken=[access()]))
    assert list(exported(cache, "java")["AccessToken"]) == [
        f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read user.read"
    ]
