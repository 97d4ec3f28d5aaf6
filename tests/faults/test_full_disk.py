"""A disk without a free byte: refresh tokens are still replaced, nothing is lost, and all goes on with more space."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from isolated.oracle import Ledger, assert_sound, number_of, secret
from isolated.support import new_tokens, open_vault, secret_of
from support.disks import fill, needs_root, small_disk

from warmtoken.cache.vault import NewTokens, Replacing, Vault
from warmtoken.errors import CacheFullError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_root

USERS = 5
ROTATIONS = 100
HANGS = 30  # seconds


def rotate(vault: Vault, number: int) -> str:
    """Replace a user's refresh token, as a refresh does, and return the user."""
    user = str(number % USERS)
    tokens = new_tokens(secret(number), user=user, refresh=secret(number), identity=secret(number))
    vault.save(tokens._replace(replacing=Replacing(vault.find_refresh_token(tokens.slot.owner))))
    return user


def refusal(vault: Vault, tokens: NewTokens) -> CacheFullError | None:
    try:
        vault.save(tokens)
    except CacheFullError as error:
        return error
    return None


def save_until_full(vault: Vault, ledger: Ledger) -> int:
    """Save tokens of new users until there is no room, and return the number of the one that was refused."""
    for number in itertools.count(1000):
        tokens = new_tokens(f"{secret(number)} {'x' * 2000}", user=str(number), refresh=secret(number))
        refused = refusal(vault, tokens)
        if refused is not None:
            assert refused.code == "disk_full"
            assert number > 1000
            ledger.in_doubt.add(number)
            return number
        ledger.acknowledged[str(number)] = number
    raise AssertionError


def test_refresh_tokens_are_replaced_on_the_reserve_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        vault, ledger = open_vault(disk / "cache"), Ledger()
        for number in range(1, USERS + 1):
            ledger.acknowledged[rotate(vault, number)] = number
        ballast = fill(disk)
        for number in range(USERS + 1, USERS + 1 + ROTATIONS):
            ledger.acknowledged[rotate(vault, number)] = number
        number = save_until_full(vault, ledger)
        ledger.check(lambda user: secret_of(vault, user=user), list(ledger.acknowledged))
        assert all(
            number_of(found.record.secret) == last
            for user, last in ledger.acknowledged.items()
            if (found := vault.find_refresh_token(new_tokens("", user=user).slot.owner))
        )
        ballast.unlink()
        since = time.monotonic()
        ledger.acknowledged[rotate(vault, number + 1)] = number + 1
        assert time.monotonic() - since < HANGS
        ledger.check(lambda user: secret_of(vault, user=user), list(ledger.acknowledged))
        assert vault.refused_records == 0
        assert_sound(disk / "cache")
