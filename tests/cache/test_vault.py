"""Tokens go in and come out, to those alone whom they are for; and nothing can be read in the files."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from isolated.support import FAR, access_token, find, new_tokens, open_vault, secret_of, slot_of

from warmtoken import _engine
from warmtoken.cache import vault as vault_module
from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.cache.records import AccessTokenRecord, AccountRecord, AppRecord, IdTokenRecord, RefreshTokenRecord
from warmtoken.cache.vault import NewTokens, Replacing
from warmtoken.errors import CacheFullError

if TYPE_CHECKING:
    from pathlib import Path

    from isolated.support import FileReader

    from warmtoken.cache.vault import Vault


@pytest.fixture
def vault(directory: Path) -> Vault:
    return open_vault(directory)


def test_a_reply_comes_back(vault: Vault) -> None:
    new = new_tokens("access", ("a", "b"), refresh="refresh", identity="identity")
    vault.save(new)
    found = find(vault, ("a", "b"))
    assert found is not None
    record = new.access_token
    assert (found.secret, found.target, found.realm, found.id_token) == (record.secret, "a b", record.realm, "identity")
    assert (found.cached_at, found.expires_on) == (record.cached_at, record.expires_on)
    refresh = vault.find_refresh_token(new.slot.owner)
    assert refresh is not None
    assert (refresh.record, refresh.generation) == (new.refresh_token, 1)


def test_a_token_goes_to_its_own_request_alone(vault: Vault) -> None:
    vault.save(new_tokens("access", ("a", "b")))
    assert secret_of(vault, ("a",)) == "access"
    assert secret_of(vault, ("a", "c")) is None
    assert secret_of(vault, ("a",), user="other") is None
    assert secret_of(vault, ("a",), user=None) is None
    assert vault.find_access_token(slot_of(realm="other"), ("a",), 0) is None


def test_a_record_is_looked_at_again_before_it_is_handed_out(vault: Vault) -> None:
    """What lies under the right key but says it is another's is not handed out."""
    slot = slot_of()
    for wrong in (
        access_token(slot_of("mallory"), "access", ("a",)),
        access_token(slot_of(realm="elsewhere"), "access", ("a",)),
        access_token(slot, "access", ("b",)),
        access_token(slot, "access", ("a",))._replace(client_id="other"),
        access_token(slot, "access", ("a",))._replace(token_type="pop"),
    ):
        vault.save(NewTokens(slot, ("a",), wrong))
        assert find(vault) is None
    vault.save(NewTokens(slot, ("a",), access_token(slot, "access", ("A",))))
    assert secret_of(vault) == "access"


def test_a_record_moved_to_another_key_or_file_is_refused_and_counted(vault: Vault, tmp_path: Path) -> None:
    vault.save(new_tokens("access"))
    vault.save(new_tokens("other's", user="user-2"))
    store = vault.shared.store
    mine, others = (vault.keys.access_token(slot_of(user), ("a",)) for user in ("user-1", "user-2"))
    moved = _engine.read(store, _engine.ACCESS, others)[1]
    vault.shared.commit([(_engine.PUT, _engine.ACCESS, mine, moved)])
    assert find(vault) is None
    assert vault._sealer.refused == 1
    other_file = open_vault(tmp_path / "other")
    other_file.shared.commit(
        [(_engine.PUT, _engine.ACCESS, other_file.keys.access_token(slot_of("user-2"), ("a",)), moved)]
    )
    assert secret_of(other_file, user="user-2") is None
    assert other_file._sealer.refused == 1


def test_a_record_of_an_unknown_version_is_a_miss(vault: Vault) -> None:
    vault.save(new_tokens("access"))
    key = vault.keys.access_token(slot_of(), ("a",))
    sealed = bytearray(_engine.read(vault.shared.store, _engine.ACCESS, key)[1] or b"")
    sealed[2] = 2
    vault.shared.commit([(_engine.PUT, _engine.ACCESS, key, bytes(sealed))])
    assert find(vault) is None
    assert vault._sealer.refused == 1


def test_a_refresh_token_is_replaced_only_where_it_is_still_the_same(vault: Vault) -> None:
    vault.save(new_tokens("1", refresh="first"))
    owner = slot_of().owner
    first = vault.find_refresh_token(owner)
    assert first is not None
    vault.save(_replacing("2", "second", first))
    second = vault.find_refresh_token(owner)
    assert second is not None
    assert (second.record.secret, second.generation) == ("second", 2)
    vault.save(_replacing("3", "late", first))
    current = vault.find_refresh_token(owner)
    assert current is not None
    assert current.record.secret == "second"
    assert not vault.delete_refresh_token(first)
    assert vault.delete_refresh_token(second)
    assert vault.find_refresh_token(owner) is None


def _replacing(access: str, refresh: str, found: vault_module.CachedRefreshToken | None) -> NewTokens:
    new = new_tokens(access, refresh=refresh)
    return NewTokens(new.slot, new.scopes, new.access_token, new.refresh_token, replacing=Replacing(found))


def test_all_of_an_account_goes_with_it_and_nothing_of_others(
    vault: Vault, directory: Path, file_reader: FileReader
) -> None:
    for user in ("user-1", "user-2"):
        new = new_tokens(f"access of {user}", user=user, refresh="refresh", identity="identity")
        account = AccountRecord(user, "idp.example.test", "tenant-1", username=f"{user}@example.test")
        vault.save(
            NewTokens(
                new.slot, new.scopes, new.access_token, new.refresh_token, new.id_token, account, AppRecord("c", "e")
            )
        )
    assert [account.home_account_id for account in vault.accounts(slot_of().owner)] != []
    vault.remove_account(slot_of("user-1").owner)
    assert [account.home_account_id for account in vault.accounts(slot_of().owner)] == ["user-2"]
    assert secret_of(vault, user="user-1") is None
    assert secret_of(vault, user="user-2") == "access of user-2"
    found = file_reader.dump(directory / "tokens-v1.mdb")
    counts = {name: len(records) for name, records in found.items()}
    assert counts == {
        "meta": 2, "access": 1, "scope": 2, "expiry": 1, "refresh": 1, "identity": 1, "account": 1, "app": 1, "note": 1,
    }  # fmt: skip


def test_a_users_tokens_are_listed_whatever_their_realm(vault: Vault) -> None:
    for realm in ("tenant-1", "tenant-2"):
        slot, names = slot_of(realm=realm), ("user-1", "e", "client-1")
        identity = IdTokenRecord(*names, realm, f"id of {realm}")
        vault.save(NewTokens(slot, ("a",), access_token(slot, f"at of {realm}", ("a",)), id_token=identity))
    vault.save(new_tokens("other's", user="user-2", identity="other's"))
    owner = slot_of().owner
    assert {token.secret for token in vault.access_tokens(owner)} == {"at of tenant-1", "at of tenant-2"}
    assert {token.secret for token in vault.id_tokens(owner)} == {"id of tenant-1", "id of tenant-2"}


def test_the_clients_own_tokens_go_in_one_commit_and_users_stay(vault: Vault) -> None:
    for realm in ("tenant-1", "tenant-2"):
        slot = slot_of(None, realm)
        vault.save(NewTokens(slot, ("a",), access_token(slot, f"own, {realm}", ("a",))))
    vault.save(new_tokens("user's"))
    before = vault.newest
    vault.remove_access_tokens(slot_of(None).owner)
    assert vault.newest == before + 1
    assert list(vault.access_tokens(slot_of(None).owner)) == []
    assert secret_of(vault) == "user's"


def test_what_is_known_of_a_client_is_written_where_it_changes(vault: Vault) -> None:
    def sealed() -> bytes | None:
        return _engine.read(vault.shared.store, _engine.APP, vault.keys.app(slot_of().owner))[1]

    def save(app: AppRecord) -> bytes | None:
        new = new_tokens("access")
        vault.save(NewTokens(new.slot, new.scopes, new.access_token, app=app))
        return sealed()

    assert vault.app(slot_of().owner) is None
    first = save(AppRecord("client-1", "idp.example.test", "1"))
    assert save(AppRecord("client-1", "idp.example.test", "1")) == first
    assert save(AppRecord("client-1", "idp.example.test")) != first
    assert vault.app(slot_of("another user").owner) == AppRecord("client-1", "idp.example.test")


def test_accounts_are_listed_beyond_one_page(vault: Vault) -> None:
    for n in range(300):
        new = new_tokens("access", user=f"user {n}")
        account = AccountRecord(f"user {n}", "idp.example.test", "tenant-1")
        vault.save(NewTokens(new.slot, new.scopes, new.access_token, account=account))
    assert sorted(account.home_account_id for account in vault.accounts(slot_of().owner)) == sorted(
        f"user {n}" for n in range(300)
    )


def test_a_refresh_token_that_could_not_be_written_is_written_later(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CacheFullError("disk_full", "full")

    with monkeypatch.context() as broken:
        broken.setattr(vault.shared, "commit", fail)
        for user in ("user-1", "user-2"):
            with pytest.raises(CacheFullError):
                vault.save(new_tokens(f"access of {user}", user=user, refresh="refresh"))
        with pytest.raises(CacheFullError):
            vault.save_unsaved()
    threads = [threading.Thread(target=vault.save_unsaved) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [secret_of(vault, user=user) for user in ("user-1", "user-2")] == ["access of user-1", "access of user-2"]
    before = vault.newest
    vault.save_unsaved()
    assert vault.newest == before


CANARIES = ["alice.canary", "scope.canary", "client.canary", "idp.canary.test", "tenant.canary", "access.canary.secret",
            "refresh.canary.secret", "identity.canary.secret", "Canary Alice"]  # fmt: skip


def test_nothing_can_be_read_in_the_files(directory: Path) -> None:
    user, scope, client, environment, realm, access, refresh, identity, name = CANARIES
    vault = open_vault(directory)
    slot = Slot(Owner(environment, client, user), realm)
    vault.save(
        NewTokens(
            slot,
            (scope,),
            AccessTokenRecord(user, environment, client, realm, scope, access, 1, FAR),
            RefreshTokenRecord(user, environment, client, refresh, scope),
            IdTokenRecord(user, environment, client, realm, identity),
            AccountRecord(user, environment, realm, user, user, name),
            AppRecord(client, environment),
        )
    )
    found = vault.find_access_token(slot, (scope,), 0)
    assert found is not None
    assert found.secret == access
    files = list(directory.iterdir())
    assert len(files) == 4
    content = b"".join(file.read_bytes() for file in files).lower()
    assert len(content) > 50_000
    for canary in CANARIES:
        for form in (canary, canary.upper(), canary[::-1], canary.encode().hex()):
            assert form.lower().encode() not in content
            assert form.lower().encode("utf-16-le") not in content
