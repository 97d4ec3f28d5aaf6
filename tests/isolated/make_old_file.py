"""Writes what tests/cache/test_old_files.py reads, with the warmtoken that is installed: the file to make.

To be run once for each format of the file, when it is released. Its tokens are made up, the key is that of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from isolated.oracle import DATA, without_reserve
from isolated.support import new_tokens, open_vault, slot_of

from warmtoken.cache.records import AccountRecord, AppRecord


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        vault = open_vault(Path(directory, "cache"))
        owner = slot_of().owner
        account = AccountRecord("user-1", owner.authority, "tenant-1", "local-1", "alice@example.test", "Alice")
        of_user = new_tokens("of a user", ("a", "b"), refresh="refresh", identity="identity")
        vault.save(replace(of_user, account=account, app=AppRecord(owner.client_id, owner.authority, "1")))
        vault.save(new_tokens("of the client", user=None))
        file.write_bytes(without_reserve(Path(directory, "cache", DATA).read_bytes()))


main(Path(sys.argv[1]))
