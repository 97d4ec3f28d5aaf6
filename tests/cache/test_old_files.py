"""Files that released versions wrote are read and written on, those that a later version may write are left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from isolated.support import error_of, find, new_tokens, open_vault, secret_of, slot_of

LMDB_VERSION_AT = 20  # in each of the two meta pages
OLD_FILES = sorted(Path(__file__).with_name("old_files").glob("*.mdb"))


@pytest.fixture(params=OLD_FILES, ids=lambda file: file.stem)
def old(request: pytest.FixtureRequest, directory: Path) -> Path:
    """A cache directory with a file that an earlier version wrote."""
    directory.mkdir(mode=0o700)
    shutil.copyfile(request.param, directory / "tokens-v1.mdb")
    (directory / "tokens-v1.mdb").chmod(0o600)
    return directory


def test_there_are_files_of_all_formats() -> None:
    assert [file.stem for file in OLD_FILES] == ["format-1"]


def test_all_that_is_in_an_old_file_is_read(old: Path) -> None:
    vault = open_vault(old)
    owner = slot_of().owner
    token = find(vault, ("b",))
    assert token is not None
    assert (token.secret, token.id_token, token.scopes) == ("of a user", "identity", ("a", "b"))
    assert secret_of(vault, user=None) == "of the client"
    refresh = vault.find_refresh_token(owner)
    assert refresh is not None
    assert (refresh.record.secret, refresh.generation) == ("refresh", 1)
    (account,) = vault.accounts(owner)
    assert (account.username, account.realm, account.local_account_id) == ("alice@example.test", "tenant-1", "local-1")


def test_an_old_file_is_written_on(old: Path) -> None:
    vault = open_vault(old)
    vault.save(new_tokens("newer", ("a", "b"), refresh="newer"))
    assert secret_of(vault, ("a",)) == "newer"
    refresh = vault.find_refresh_token(slot_of().owner)
    assert refresh is not None
    assert (refresh.record.secret, refresh.generation) == ("newer", 2)


def test_a_file_of_a_later_lmdb_is_refused_and_left_as_it_was(old: Path) -> None:
    file = old / "tokens-v1.mdb"
    data = bytearray(file.read_bytes())
    for page in (0, 4096):
        data[page + LMDB_VERSION_AT] += 1
    file.write_bytes(data)
    assert error_of(lambda: open_vault(old)).code == "format_mismatch"
    assert file.read_bytes() == data
