"""Different requests have different keys; those that differ in case have the same."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.cache.lookup_keys import FILE_ID_KEY, KEYRING_KEY, LookupKeys, Owner, Slot, partition_of
from warmtoken.protocol.parameters import checked_parameters

KEYS = LookupKeys(bytes(32))
OWNER = Owner("authority", "client", "user")
SLOT = Slot(OWNER, "realm")
FIELDS = st.text("ab", max_size=3)


def all_keys(slot: Slot, scopes: tuple[str, ...], keys: LookupKeys = KEYS) -> list[bytes]:
    owner = slot.owner
    return [
        keys.access_token(slot, scopes),
        keys.refresh_token(owner),
        keys.id_token(owner, slot.realm),
        keys.account_in(owner, slot.realm),
        keys.app(owner),
        keys.throttled(slot, scopes),
        keys.refused(slot, scopes, None, "refresh token"),
        KEYRING_KEY,
        FILE_ID_KEY,
    ]


def test_keys_have_32_bytes_and_differ() -> None:
    keys = all_keys(SLOT, ("a",))
    assert {len(key) for key in keys} == {32}
    assert len(set(keys)) == len(keys)


def test_keys_depend_on_the_index_key() -> None:
    other = all_keys(SLOT, ("a",), LookupKeys(b"1" * 32))
    assert not set(other[:7]) & set(all_keys(SLOT, ("a",))[:7])


def test_scopes_do_not_run_into_each_other() -> None:
    assert KEYS.access_token(SLOT, ("a", "bc")) != KEYS.access_token(SLOT, ("ab", "c"))
    assert KEYS.access_token(SLOT, ("abc",)) != KEYS.access_token(SLOT, ("a", "bc"))
    assert KEYS.access_token(SLOT, ()) != KEYS.access_token(SLOT, ("",))
    assert KEYS.partition(Owner("a", "bc", "d")) != KEYS.partition(Owner("ab", "c", "d"))
    assert KEYS.partition(Owner("a", "b", "")) != KEYS.partition(Owner("a", "b"))


@given(
    st.lists(st.tuples(FIELDS, FIELDS, st.none() | FIELDS, FIELDS, FIELDS, st.lists(FIELDS, max_size=3)), max_size=20)
)
def test_no_two_requests_share_a_key(requests: list[tuple[Any, ...]]) -> None:
    asked = {(Slot(Owner(*fields[:3]), *fields[3:5]), tuple(fields[5])) for fields in requests}
    assert len({KEYS.access_token(slot, scopes) for slot, scopes in asked}) == len(asked)


def keys_of(owner: Owner) -> dict[str, bytes]:
    """All that is hashed of an owner, by name."""
    slot, scopes = SLOT._replace(owner=owner), ("a",)
    return {
        "access token": KEYS.access_token(slot, scopes),
        "refresh token": KEYS.refresh_token(owner),
        "refresh token of the family": KEYS.refresh_token(owner, "1"),
        "refresh token kept beside": KEYS.kept_refresh_token(owner, "secret"),
        "bound refresh token": KEYS.bound_refresh_token(owner, "bound"),
        "id token": KEYS.id_token(owner, "realm"),
        "account": KEYS.account_in(owner, "realm"),
        "account of the family": KEYS.account_in(owner, "realm", "1"),
        "app": KEYS.app(owner),
        "throttled": KEYS.throttled(slot, scopes),
        "refused": KEYS.refused(slot, scopes, None, "secret"),
        "sessions": KEYS.sessions(owner),
    }


def owners_in(partition: str) -> list[Owner]:
    owner = OWNER._replace(partition=partition)
    return [owner, owner._replace(home_account_id=None), owner._replace(session="key")]


@given(st.sets(st.text(max_size=8), min_size=2, max_size=4))
def test_two_partitions_share_no_key_and_no_lock(partitions: set[str]) -> None:
    for owners in zip(*map(owners_in, partitions), strict=True):
        of_each = [keys_of(owner) for owner in owners]
        for name in of_each[0]:
            keys = {keys[name][:16] for keys in of_each}  # already the prefix under which they are listed
            assert len(keys) == len(partitions), name
            assert len({KEYS.lock_offset(keys[name]) for keys in of_each}) == len(partitions)


@given(st.lists(FIELDS, min_size=4, max_size=4), st.lists(FIELDS, min_size=4, max_size=4))
def test_a_partition_does_not_run_into_the_names_behind_it(one: list[str], other: list[str]) -> None:
    first, second = (Owner(*fields[:3], "", fields[3]) for fields in (one, other))
    assert (KEYS.partition(first) == KEYS.partition(second)) == (one == other)


NAMED = st.text("1:ab", max_size=3)
GIVEN = st.dictionaries(NAMED, st.lists(NAMED, min_size=1, max_size=2), max_size=3)


def partition_given(name: str, parameters: dict[str, list[str]]) -> str:
    pairs = sorted((parameter, value) for parameter, values in parameters.items() for value in values)
    return partition_of(name, pairs)


@given(NAMED, GIVEN, NAMED, GIVEN)
def test_two_that_differ_in_partition_or_parameters_share_no_key(
    name: str, parameters: dict[str, list[str]], other: str, others: dict[str, list[str]]
) -> None:
    first, second = (
        [keys_of(owner) for owner in owners_in(partition_given(*asked))]
        for asked in ((name, parameters), (other, others))
    )
    same = name == other and {key: sorted(parameters[key]) for key in parameters} == {
        key: sorted(others[key]) for key in others
    }
    for one, another in zip(first, second, strict=True):
        assert {one[key] == another[key] for key in one} == {same}


@given(st.permutations([("resource", "b"), ("audience", "a"), ("dc", "x")]))
def test_the_order_of_parameters_does_not_matter(pairs: list[tuple[str, str]]) -> None:
    text = partition_of("contoso", checked_parameters(dict(pairs)))
    assert text == "7:contoso8:audience1:a2:dc1:x8:resource1:b"


def test_who_names_no_partition_and_has_no_parameters_is_in_none() -> None:
    assert partition_of("", ()) == ""
    assert partition_of("", (("a", "b"),)) == "0:1:a1:b"
    assert partition_of("ä", ()) == "2:ä"


def test_without_a_partition_the_keys_are_those_of_files_that_know_none() -> None:
    """The digest is that of the keys before there were partitions."""
    found = b"".join(key for owner in owners_in("") for key in keys_of(owner).values())
    assert hashlib.blake2b(found, digest_size=16).hexdigest() == "564bba7829aff8e427762fe75c3a9b3f"


@pytest.mark.parametrize("field", ["realm", "token_type", "key_id", "extended_key"])
def test_each_field_of_a_slot_tells_tokens_apart(field: str) -> None:
    other = SLOT._replace(**{field: "other"})
    assert KEYS.access_token(other, ("a",)) != KEYS.access_token(SLOT, ("a",))
    assert not set(KEYS.scopes(other, ("a",))) & set(KEYS.scopes(SLOT, ("a",)))


@pytest.mark.parametrize("field", ["authority", "client_id", "session"])
def test_each_field_of_a_session_tells_partitions_apart_and_the_user_does_not(field: str) -> None:
    session = OWNER._replace(session="key")
    other = session._replace(**{field: "KEY"})
    assert KEYS.partition(other) != KEYS.partition(session)
    assert KEYS.refresh_token(other) != KEYS.refresh_token(session)
    for user in ("user-2", None):
        assert KEYS.partition(session._replace(home_account_id=user)) == KEYS.partition(session)


def test_a_session_is_neither_a_user_nor_the_client_nor_a_family() -> None:
    session = OWNER._replace(session="user")
    others = {KEYS.partition(owner) for owner in (OWNER, OWNER._replace(home_account_id=None))}
    assert KEYS.partition(session) not in {*others, KEYS.refresh_token(OWNER, "1")[:16]}
    assert session.user == OWNER


def test_each_user_of_each_client_has_a_list_of_sessions() -> None:
    lists = {KEYS.sessions(OWNER._replace(**changes)) for changes in ({}, {"client_id": "b"}, {"home_account_id": "b"})}
    assert len(lists) == 3
    assert KEYS.sessions(OWNER) == KEYS.sessions(OWNER._replace(home_account_id="USER"))
    assert not lists & {KEYS.partition(OWNER), KEYS.sections()}


@pytest.mark.parametrize("field", ["authority", "client_id", "home_account_id"])
def test_each_field_of_an_owner_tells_partitions_apart(field: str) -> None:
    other = OWNER._replace(**{field: "other"})
    assert KEYS.partition(other) != KEYS.partition(OWNER)
    assert KEYS.refresh_token(other) != KEYS.refresh_token(OWNER)
    assert KEYS.account(other) != KEYS.account(OWNER)


def test_a_familys_tokens_and_accounts_are_the_same_for_all_its_clients_and_nobody_elses() -> None:
    other = OWNER._replace(client_id="other")
    for key in (KEYS.refresh_token, KEYS.accounts, KEYS.account):
        assert key(OWNER, "1") == key(other, "1")
        for stranger in (OWNER, OWNER._replace(client_id="1"), OWNER._replace(client_id="")):
            assert key(stranger) != key(OWNER, "1")
        assert key(OWNER, "1") != key(OWNER, "2")
        assert key(OWNER, "1") != key(OWNER._replace(authority="other"), "1")
    one = OWNER._replace(client_id="1")
    assert KEYS.partition(one) != KEYS.refresh_token(OWNER, "1")[:16]  # a sign-out of that client deletes by prefix
    assert KEYS.refresh_token(OWNER, "1") == KEYS.refresh_token(OWNER._replace(home_account_id="USER"), "1")
    assert KEYS.refresh_token(OWNER, "1") != KEYS.refresh_token(OWNER._replace(home_account_id="user-2"), "1")


def test_case_does_not_matter_in_client_account_realm_and_token_type() -> None:
    loud = Slot(Owner("authority", "CLIENT", "USER"), "REALM", "BEARER")
    assert all_keys(loud, ("a",)) == all_keys(SLOT, ("a",))
    assert KEYS.scopes(loud, ("a",)) == KEYS.scopes(SLOT, ("a",))


@pytest.mark.parametrize("authority", ["https://idp.example.test", "https://fs.example.test/adfs"])
def test_case_matters_in_an_account_that_is_a_subject(authority: str) -> None:
    quiet, loud = (Owner(authority, "client", user) for user in ("user", "USER"))
    for key in (KEYS.partition, KEYS.refresh_token, KEYS.account):
        assert key(quiet) != key(loud)


def test_case_does_not_matter_in_an_account_of_b2c() -> None:
    quiet, loud = (Owner("https://c.b2clogin.com/tfp/tenant/flow", "client", user) for user in ("user", "USER"))
    assert KEYS.partition(quiet) == KEYS.partition(loud)


def test_case_matters_where_it_is_a_digest() -> None:
    for field in ("key_id", "extended_key"):
        quiet, loud = SLOT._replace(**{field: "x"}), SLOT._replace(**{field: "X"})
        assert KEYS.access_token(quiet, ()) != KEYS.access_token(loud, ())


def test_all_of_an_owner_lies_under_one_prefix() -> None:
    partition = KEYS.partition(OWNER)
    assert len(partition) == 16
    for key in (KEYS.access_token(SLOT, ("a",)), KEYS.refresh_token(OWNER), KEYS.id_token(OWNER, "realm")):
        assert key.startswith(partition)
    assert KEYS.account_in(OWNER, "realm").startswith(KEYS.account(OWNER))
    assert KEYS.account(OWNER).startswith(KEYS.accounts(OWNER))
    assert KEYS.accounts(OWNER._replace(home_account_id="other")) == KEYS.accounts(OWNER)


def test_the_hash_of_the_slot_comes_before_those_of_its_scopes() -> None:
    hashes = KEYS.scopes(SLOT, ("a", "b"))
    assert [len(part) for part in hashes] == [8, 8, 8]
    assert hashes[:2] == KEYS.scopes(SLOT, ("a",))
    assert hashes[0] == KEYS.scopes(SLOT, ())[0]


@given(st.binary(min_size=1, max_size=40))
def test_locks_lie_behind_the_write_gate_within_a_file_offset(key: bytes) -> None:
    assert 1 <= KEYS.lock_offset(key) <= 2**62


def test_a_family_has_a_refresh_token_of_its_own() -> None:
    assert KEYS.refresh_token(OWNER, "1") != KEYS.refresh_token(OWNER)


def test_a_refusal_is_of_one_refresh_token_for_some_scopes_and_claims() -> None:
    keys = {
        KEYS.refused(slot, scopes, claims, token)
        for slot in (SLOT, SLOT._replace(realm="other"))
        for scopes in ((), ("a",), ("a", "b"))
        for claims in (None, "{}")
        for token in ("one", "two")
    }
    assert len(keys) == 2 * 3 * 2 * 2
    assert all(key.startswith(KEYS.partition(OWNER)) for key in keys)
    assert b"one" not in b"".join(keys)
