"""Which clients have had tokens is known as soon as they have them, and is written once."""

from __future__ import annotations

from pathlib import Path

import pytest
from isolated.support import FAR, new_tokens, open_vault, slot_of

from warmtoken import _engine
from warmtoken.cache.records import ClientRecord
from warmtoken.cache.sealing import read_header
from warmtoken.cache.vault import NewTokens, Vault


@pytest.fixture
def vault(directory: Path) -> Vault:
    return open_vault(directory)


def saved(vault: Vault, user: str, client_id: str, token_type: str = "Bearer") -> NewTokens:
    new = new_tokens("access", ("a",), user=user)
    owner = new.slot.owner._replace(client_id=client_id)
    assert new.access_token is not None
    new = new._replace(
        slot=new.slot._replace(owner=owner, token_type=token_type),
        access_token=new.access_token._replace(client_id=client_id, token_type=token_type),
    )
    vault.save(new)
    return new


def test_a_client_is_known_with_its_first_token(vault: Vault) -> None:
    new = saved(vault, "alice", "cli")
    assert new.access_token is not None
    host = new.access_token.environment
    known = ClientRecord(slot_of().owner.authority, "cli", host, "Bearer")
    assert vault.clients.under(host) == vault.clients.under(host.upper(), "CLI") == [known]
    assert vault.clients.under("another.example") == vault.clients.under(host, "other") == []


def test_each_client_and_type_is_written_once(vault: Vault) -> None:
    for client_id, token_type in (("one", "Bearer"), ("two", "Bearer"), ("two", "pop")):
        for user in ("alice", "bob"):
            new = saved(vault, user, client_id, token_type)
            assert new.access_token is not None
            host = new.access_token.environment
            assert vault.clients.note(new.slot.owner, host, token_type) == []
    assert sorted((client.client_id, client.token_type) for client in vault.clients.under(host)) == [
        ("one", "Bearer"), ("two", "Bearer"), ("two", "pop"),
    ]  # fmt: skip
    assert len(vault.clients.under(host, "two")) == 2


def test_a_client_whose_tokens_could_not_be_written_is_not_known(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(vault.shared, "commit", lambda _: (0, True))
        new = saved(vault, "alice", "cli")
    assert new.access_token is not None
    host = new.access_token.environment
    assert vault.clients.under(host) == []
    saved(vault, "alice", "cli")
    assert len(vault.clients.under(host)) == 1


def test_it_is_known_for_ever(vault: Vault) -> None:
    """Notes that have ended may be deleted."""
    saved(vault, "alice", "cli")
    [(_, value)] = _engine.scan(vault.shared.store, _engine.NOTE, b"")
    assert read_header(value).expires_ms > 1000 * FAR


def test_another_process_knows_it_too(vault: Vault, directory: Path) -> None:
    new = saved(vault, "alice", "cli")
    assert new.access_token is not None
    assert len(open_vault(directory).clients.under(new.access_token.environment)) == 1
