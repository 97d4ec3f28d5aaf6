"""Entries of an MSAL cache as records, and records as entries."""

from __future__ import annotations

from typing import Any

import pytest

from warmtoken.cache.extended_key import extended_key
from warmtoken.cache.records import AccessTokenRecord
from warmtoken.interop.msal_entries import (
    access_token_entry,
    access_token_of,
    account_entry,
    account_of,
    app_entry,
    app_of,
    client_info_of,
    extra_of,
    id_token_entry,
    id_token_of,
    refresh_token_entry,
    refresh_token_of,
)
from warmtoken.interop.msal_reasons import MAX_TEXT, Unfit

USER = "11111111-aaaa-4c40-97bc-f7a23c703084.22222222-bbbb-4c40-97bc-f7a23c703084"
NAMES = {"home_account_id": USER, "environment": "login.windows.net", "client_id": "cli"}
ACCESS = {
    **NAMES,
    "credential_type": "AccessToken",
    "realm": "t1",
    "target": "Mail.Read User.Read",
    "secret": "at-1",
    "token_type": "Bearer",
    "cached_at": "1000",
    "expires_on": "4600",
    "extended_expires_on": "4600",
}
REFRESH = {
    **NAMES,
    "credential_type": "RefreshToken",
    "secret": "rt-1",
    "target": "User.Read",
    "last_modification_time": "1000",
}
IDENTITY = {**NAMES, "credential_type": "IdToken", "realm": "t1", "secret": "a.b.c"}
ACCOUNT = {
    "home_account_id": USER,
    "environment": "login.windows.net",
    "realm": "t1",
    "local_account_id": "11111111",
    "username": "alice@example.test",
    "authority_type": "MSSTS",
}
APP = {"client_id": "cli", "environment": "login.windows.net", "family_id": "1"}
KINDS: list[tuple[Any, Any, dict[str, Any]]] = [
    (access_token_of, access_token_entry, ACCESS),
    (refresh_token_of, refresh_token_entry, REFRESH),
    (id_token_of, id_token_entry, IDENTITY),
    (account_of, account_entry, ACCOUNT),
    (app_of, app_entry, APP),
]
every_kind = pytest.mark.parametrize(
    ("record_of", "entry_of", "entry"), KINDS, ids=["at", "rt", "idt", "account", "app"]
)


def reason(record_of: Any, entry: object) -> str:
    with pytest.raises(Unfit) as caught:
        record_of(entry)
    return caught.value.reason


@every_kind
def test_an_entry_comes_back_as_it_was(record_of: Any, entry_of: Any, entry: dict[str, Any]) -> None:
    assert entry_of(record_of(entry)) == entry
    assert record_of(entry).extra == ""


@every_kind
def test_fields_that_nobody_knows_come_back(record_of: Any, entry_of: Any, entry: dict[str, Any]) -> None:
    unknown = {"odd": [1, {"a": None}], "empty": "", "none": None}
    assert entry_of(record_of(entry | unknown)) == entry | unknown


@every_kind
def test_null_and_empty_are_as_good_as_absent(record_of: Any, entry_of: Any, entry: dict[str, Any]) -> None:
    optional = set(record_of(entry)._fields) - {"secret", "environment", "client_id", "home_account_id", "expires_on"}
    for name in optional - {"extra", "extended_key", "local_account_id"}:
        without = {field: value for field, value in entry.items() if field != name}
        for nothing in (None, ""):
            assert record_of(without | {name: nothing}) == record_of(without)


@every_kind
@pytest.mark.parametrize("entry_given", [None, "text", 5, [], [["a", "b"]]])
def test_what_is_no_object_is_refused(record_of: Any, entry_of: Any, entry: Any, entry_given: object) -> None:
    assert reason(record_of, entry_given) == "not_an_object"


@every_kind
@pytest.mark.parametrize("value", [5, True, ["x"], {"x": "y"}, "x" * (MAX_TEXT + 1)])
def test_a_text_of_another_type_or_too_long_is_refused(
    record_of: Any, entry_of: Any, entry: Any, value: object
) -> None:
    assert reason(record_of, entry | {"environment": value}) == "field_invalid"


@every_kind
@pytest.mark.parametrize("name", ["home_account_id", "environment", "client_id", "secret"])
def test_each_missing_field_has_its_reason(record_of: Any, entry_of: Any, entry: dict[str, Any], name: str) -> None:
    if name not in entry or (name == "home_account_id" and entry is ACCESS):  # a client's own token has no user
        return
    for missing in (entry | {name: ""}, entry | {name: None}, {n: v for n, v in entry.items() if n != name}):
        assert reason(record_of, missing) == f"{name}_missing"


@pytest.mark.parametrize("secret", ["a\r\nX-Evil: 1", "a b", "é", "\x00"])
def test_a_secret_that_could_break_a_header_is_refused(secret: str) -> None:
    assert reason(access_token_of, ACCESS | {"secret": secret}) == "secret_invalid"
    if secret != "a b":  # which a refresh token may have (RFC 6749, appendix A.17)
        assert reason(refresh_token_of, REFRESH | {"secret": secret}) == "secret_invalid"
        assert reason(id_token_of, IDENTITY | {"secret": secret}) == "secret_invalid"


@pytest.mark.parametrize("time", [None, "", "soon", "0", "-5", [], "1e9", 10**15, True])
def test_an_access_token_needs_to_say_when_it_expires(time: object) -> None:
    assert reason(access_token_of, ACCESS | {"expires_on": time}) == "expires_on_invalid"


@pytest.mark.parametrize("time", ["4600", 4600, 4600.7, " 4600 ", "4600.0"])
def test_times_are_text_or_numbers(time: object) -> None:
    assert access_token_of(ACCESS | {"expires_on": time}).expires_on == 4600


@pytest.mark.parametrize("time", ["soon", "-62135596800", [], 10**15])
def test_other_times_that_are_no_number_count_for_nothing_and_come_back(time: object) -> None:
    for name in ("cached_at", "refresh_on"):
        record = access_token_of(ACCESS | {name: time})
        assert getattr(record, name) == 0
        assert access_token_entry(record)[name] == time
    record = refresh_token_of(REFRESH | {"last_modification_time": time})
    assert record.last_modification_time == 0
    assert refresh_token_entry(record)["last_modification_time"] == time


@pytest.mark.parametrize("name", ["kid", "key_id", "keyid"])
def test_the_id_of_a_bound_key_has_three_spellings(name: str) -> None:
    record = access_token_of(ACCESS | {name: "key-1", "token_type": "pop"})
    assert record.key_id == "key-1"
    assert access_token_entry(record) == ACCESS | {"key_id": "key-1", "token_type": "pop"}
    assert (
        reason(access_token_of, ACCESS | {name: "key-1", "other": 1, "kid": "a", "key_id": "b"}) == "key_id_ambiguous"
    )


@pytest.mark.parametrize("given", [None, "", "bearer", "BEARER"])
def test_the_token_type_is_bearer_unless_said_otherwise(given: object) -> None:
    assert access_token_of(ACCESS | {"token_type": given}).token_type == "Bearer"


def test_a_token_type_that_is_no_scheme_is_refused() -> None:
    assert reason(access_token_of, ACCESS | {"token_type": "Bearer x"}) == "field_invalid"


def test_the_end_of_extended_life_is_kept_only_where_it_differs() -> None:
    assert access_token_of(ACCESS | {"ext_expires_on": "4600"}).extra == ""
    longer = access_token_of(ACCESS | {"extended_expires_on": "9999", "ext_expires_on": "9999"})
    assert extra_of(longer) == {"extended_expires_on": "9999"}
    assert access_token_entry(longer)["extended_expires_on"] == "9999"


def test_an_entry_without_account_belongs_to_that_of_its_client_info() -> None:
    nameless = {name: value for name, value in IDENTITY.items() if name != "home_account_id"}
    record = id_token_of(nameless | {"client_info": client_info_of(USER)})
    assert record == id_token_of(IDENTITY)
    assert account_of(ACCOUNT | {"home_account_id": "", "client_info": client_info_of(USER)}) == account_of(ACCOUNT)
    assert reason(id_token_of, nameless | {"client_info": "!!"}) == "home_account_id_missing"


def test_a_map_of_components_is_the_extended_key() -> None:
    record = access_token_of(ACCESS | {"ext": {"fmi_path": "a/b"}})
    assert record.extended_key == extended_key({"fmi_path": "a/b"})
    assert access_token_entry(record)["ext"] == {"fmi_path": "a/b"}


@pytest.mark.parametrize(
    "field", ["ext_cache_key", "ext_cache_key_hash", "additionalCacheKeyComponentsHash", "requestedClaimsHash"]
)
def test_a_token_bound_by_a_hash_alone_is_not_a_plain_one(field: str) -> None:
    record = access_token_of(ACCESS | {field: "hash-1"})
    assert access_token_of(ACCESS | {field: "HASH-1"}).extended_key == record.extended_key
    name = "ext_cache_key" if field == "ext_cache_key_hash" else field
    assert record.extended_key == extended_key({name: "hash-1"})
    assert access_token_entry(record) == ACCESS | {name: "hash-1"}


def test_the_hash_of_components_that_are_known_says_nothing_new() -> None:
    entry = access_token_entry(access_token_of(ACCESS | {"ext": {"fmi_path": "a/b"}}))
    assert access_token_of(entry).extended_key == extended_key({"fmi_path": "a/b"})
    assert access_token_of(entry).extra == ""


@pytest.mark.parametrize("name", ["user_assertion_hash", "userAssertionHash"])
@pytest.mark.parametrize("padding", ["", "="])
def test_a_token_had_on_behalf_of_a_user_is_not_the_users_own(name: str, padding: str) -> None:
    record = access_token_of(ACCESS | {name: "hash-1" + padding})
    assert record.extended_key == extended_key({"user_assertion_hash": "hash-1"})
    assert access_token_of(access_token_entry(record)) == record
    assert access_token_entry(record)[name] == "hash-1" + padding


def test_no_repr_shows_a_secret() -> None:
    record = access_token_of(ACCESS | {"secret": "CANARY"})
    assert isinstance(record, AccessTokenRecord)
    assert "CANARY" not in repr(record)
