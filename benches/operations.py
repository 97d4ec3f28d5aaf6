"""Does one thing some number of times, for `benches.instructions`: `… benches.operations CASE DIRECTORY NOW COUNT`.

What comes before and after the loop is the same for every count up to MOST, so that the difference of two runs is the
loop alone.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from benches.baselines.empty_method import EmptyMethods
from benches.baselines.pure_python import PurePythonCache
from benches.crowd import Call, Users
from benches.lookups import check
from benches.ours import new_tokens, slot_of
from benches.population import CLIENT_ID, MISSING
from warmtoken import TokenCache, UiRequiredError
from warmtoken.protocol.scopes import lookup_scopes

TOKENS = 2_000
MOST = 400  # of the calls that are about another token each time
COMMITS = 10
HOUR = 3_600 * 10**9  # nanoseconds

LOOP = "the loop alone"
EMPTY = "empty method call"
PURE = "hit of pure Python"
HIT = "hit"
CONFIRMATION = "re-validation"
STORE = "store lookup"
SUBSET = "store lookup, subset of the scopes"
MISS = "certain miss, the lookup"
REFUSAL = "certain miss, the public method"
SAVE = "durable store"


class World:
    """A cache that was filled before, and a way to each of its users' tokens; the file is not looked at meanwhile."""

    def __init__(self, directory: Path, now: int) -> None:
        self.crowd = Users(directory, TOKENS, now)
        self.cache: TokenCache = self.crowd.cache()
        self.vault = self.cache.vault()
        # Once a second a call looks whether the file is still the same, and a second is little under valgrind.
        self.cache.clock.monotonic_offset -= HOUR
        self.acquire = self.crowd.acquire(self.cache)
        self.numbers = self.crowd.numbers(MOST, 1)[0]
        self.calls = [self.crowd.call(number) for number in self.numbers]
        self.spare = next(number for number in range(TOKENS) if number not in set(self.numbers))

    def warm_up(self) -> None:
        """Do once what imports on first use, with a user that no case is about."""
        self.acquire(*self.crowd.call(self.spare))
        _refused(self.acquire, *self.crowd.missing_call(self.spare))


def loop(world: World, count: int) -> None:
    """Do nothing; what the other loops cost by themselves."""
    for _ in repeat(None, count):
        pass


def empty_method(world: World, count: int) -> None:
    """Call a bound method with the arguments of a hit that does nothing."""
    method, (scopes, account) = EmptyMethods().acquire_token_silent, world.calls[0]
    for _ in repeat(None, count):
        result = method(scopes, account)
    assert result is account


def pure_python(world: World, count: int) -> None:
    """Ask the dict with a lock and an expiry check."""
    cache, entry = PurePythonCache(CLIENT_ID), world.crowd.entry(world.numbers[0])
    at = {"cached_at": entry.cached_at, "expires_on": entry.expires_on}
    cache.save(entry.scopes, entry.account, access_token=entry.access_token, id_token=None, **at)
    method, (scopes, account) = cache.acquire_token_silent, world.calls[0]
    method(scopes, account)
    for _ in repeat(None, count):
        result = method(scopes, account)
    assert result is not None
    assert result.access_token == entry.access_token


def hit(world: World, count: int) -> None:
    """Ask for one token in memory."""
    acquire, (scopes, account) = world.acquire, world.calls[0]
    acquire(scopes, account)
    acquire(scopes, account)
    for _ in repeat(None, count):
        result = acquire(scopes, account)
    check(world.crowd, result, world.numbers[0], "L1")


def confirmation(world: World, count: int) -> None:
    """Ask for tokens in memory, each once after a commit about something else."""
    acquire, each = world.acquire, count // COMMITS
    for call in world.calls:
        acquire(*call)
    fresh = [new_tokens(world.crowd.added(number)) for number in range(COMMITS)]
    before = world.cache.stats().l1_confirmed
    for number, new in enumerate(fresh):
        world.vault.save(new)
        for scopes, account in world.calls[number * each : (number + 1) * each]:
            result = acquire(scopes, account)
    check(world.crowd, result, world.numbers[count - 1], "L1")
    assert world.cache.stats().l1_confirmed == before + count


def store_lookup(world: World, count: int) -> None:
    """Ask for tokens that are not in memory."""
    _ask_for_each(world, world.calls, count)


def subset_lookup(world: World, count: int) -> None:
    """Ask for them by one of their scopes."""
    _ask_for_each(world, [world.crowd.subset_call(number) for number in world.numbers], count)


def _ask_for_each(world: World, calls: Sequence[Call], count: int) -> None:
    acquire = world.acquire
    for scopes, account in calls[:count]:
        result = acquire(scopes, account)
    check(world.crowd, result, world.numbers[count - 1], "store")


def miss(world: World, count: int) -> None:
    """Look for tokens that are not there, for users who have others."""
    find, wanted, now = world.vault.find_access_token, lookup_scopes(MISSING), world.crowd.now
    slots = [slot_of(account) for _, account in world.calls]
    for slot in slots[:count]:
        result = find(slot, wanted, now)
    assert result is None


def refusal(world: World, count: int) -> None:
    """Ask for them as a program does, up to UiRequiredError."""
    acquire = world.acquire
    for _, account in world.calls[:count]:
        code = _refused(acquire, MISSING, account)
    assert code == "no_tokens_found"


def save(world: World, count: int) -> None:
    """Store new users' tokens, id tokens and accounts, each in a synced commit of its own."""
    fresh = [new_tokens(world.crowd.entry(TOKENS + number)) for number in range(MOST)]
    write, before = world.vault.save, world.vault.newest
    write(new_tokens(world.crowd.entry(TOKENS + MOST)))
    for new in fresh[:count]:
        write(new)
    assert world.vault.newest == before + 1 + count


def _refused(acquire: Callable[..., Any], *call: Any) -> str:
    try:
        acquire(*call)
    except UiRequiredError as error:
        return error.code
    raise AssertionError("expected UiRequiredError")


CASES: dict[str, Callable[[World, int], None]] = {
    LOOP: loop,
    EMPTY: empty_method,
    PURE: pure_python,
    HIT: hit,
    CONFIRMATION: confirmation,
    STORE: store_lookup,
    SUBSET: subset_lookup,
    MISS: miss,
    REFUSAL: refusal,
    SAVE: save,
}


def main() -> None:
    """Run the case of the command line."""
    case, directory, now, count = sys.argv[1:]
    world = World(Path(directory), int(now))
    with world.cache:
        world.warm_up()
        gc.collect()
        gc.disable()  # when it would run depends on everything before
        CASES[case](world, int(count))


if __name__ == "__main__":
    main()
