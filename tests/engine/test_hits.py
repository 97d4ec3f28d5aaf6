"""What the results in memory serve, and what they must not."""

from __future__ import annotations

import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from engine.records import hashes, record, token_key
from isolated.support import UnhurriedHits

from warmtoken import _engine
from warmtoken.models import Account

if TYPE_CHECKING:
    from pathlib import Path

FAR_MS = 4_000_000_000_000
NO_END_MS = (1 << 63) - 1
ALICE = Account("alice", "idp.example.test")
BOB = Account("bob", "idp.example.test")
SCOPES = frozenset("a")
TOKEN = token_key("u", "s", SCOPES)


class Text(str):
    """Not quite a str."""

    __slots__ = ()


class Rig:
    """A store, its hits and one view."""

    def __init__(self, path: Path, entries: int = 64, size: int = 1 << 20) -> None:
        self.path = path
        self.clock = _engine.Clock()
        self.store = _engine.open_store(str(path), 1 << 26)
        self.hits = UnhurriedHits(self.store, self.clock, entries, size)
        self.view = self.hits.view()
        self.write()

    def write(self, value: bytes | None = None) -> None:
        self.value = value or record(FAR_MS)
        _engine.commit(self.store, [[(_engine.PUT_TOKEN, _engine.ACCESS, TOKEN, self.value, hashes("s", SCOPES))]])

    def write_something_else(self) -> None:
        _engine.commit(self.store, [[(_engine.PUT, _engine.NOTE, b"other", record())]])

    def remember(
        self, result: object, scopes: Any = ("a",), account: Any = ALICE, variant: Any = None, until: int = FAR_MS,
        view: _engine.View | None = None, weight: int = 100, witnesses: Any = None,
    ) -> None:  # fmt: skip
        if witnesses is None:
            witnesses = [(_engine.ACCESS, TOKEN, self.value)]
        (view or self.view).remember(
            scopes, account, variant, result, until, self.store.newest, _engine.Witnesses(witnesses), weight
        )


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "tokens")


def test_what_is_remembered_is_served_itself(rig: Rig) -> None:
    result = object()
    rig.remember(result)
    assert rig.view.lookup(("a",), ALICE) is result
    assert rig.view.lookup(["a"], ALICE) is result
    assert (
        rig.view.lookup(["".join("a")], Account(str(b"alice", "ascii"), ALICE.environment, "alice@example.test"))
        is result
    )


@pytest.mark.parametrize(
    ("scopes", "account", "variant"),
    [
        (("b",), ALICE, None),
        (("a", "b"), ALICE, None),
        ((), ALICE, None),
        (("A",), ALICE, None),
        (("a",), BOB, None),
        (("a",), Account(ALICE.home_account_id, "another.example"), None),
        (("a",), None, None),
        (("a",), ALICE, "tenant"),
    ],
)
def test_another_request_misses(rig: Rig, scopes: Any, account: Any, variant: Any) -> None:
    rig.remember("result")
    assert rig.view.lookup(scopes, account, variant) is None


def test_the_order_of_scopes_is_part_of_the_request(rig: Rig) -> None:
    rig.remember("ab", ("a", "b"))
    rig.remember("ba", ("b", "a"))
    assert rig.view.lookup(("a", "b"), ALICE) == "ab"
    assert rig.view.lookup(("b", "a"), ALICE) == "ba"


def test_fields_of_a_request_do_not_run_into_each_other(rig: Rig) -> None:
    requests = [(("a", "bc"), None, None), (("ab", "c"), None, None), (("x",), ALICE, None), (("x",), None, "alice")]
    for number, request in enumerate(requests):
        rig.remember(number, *request)
    assert [rig.view.lookup(*request) for request in requests] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "scopes",
    [
        "a", b"a", None, 1, {"a"}, frozenset("a"), iter("a"), (Text("a"),), (b"a",), (None,), (1,), (["a"],), object(),
        type("L", (list,), {})("a"), type("T", (tuple,), {})("a"),
    ],
)  # fmt: skip
def test_odd_scopes_miss(rig: Rig, scopes: Any) -> None:
    rig.remember("result")
    assert rig.view.lookup(scopes, ALICE) is None


def account_with(home_account_id: object) -> Account:
    """An account with what its own constructor refuses."""
    account = Account("alice", "e")
    object.__setattr__(account, "home_account_id", home_account_id)
    return account


@pytest.mark.parametrize(
    "account",
    [
        "alice",
        1,
        object(),
        Account(Text("alice"), "e"),
        account_with(1),
        account_with([]),
        type("Sub", (Account,), {})("alice", "e"),
    ],
)
def test_odd_accounts_miss(rig: Rig, account: Any) -> None:
    rig.remember("result")
    assert rig.view.lookup(("a",), account) is None


@pytest.mark.parametrize("variant", [1, b"", [], Text(""), object()])
def test_odd_variants_miss(rig: Rig, variant: Any) -> None:
    rig.remember("result", variant="")
    assert rig.view.lookup(("a",), ALICE, variant) is None
    assert rig.view.lookup(("a",), ALICE, "") == "result"


def test_requests_with_other_than_str_are_not_kept(rig: Rig) -> None:
    for scopes in ((Text("a"),), (1,), "a", {"a"}, None):
        rig.remember("result", scopes)
    rig.remember("result", account=Account(Text("alice"), "e"))
    rig.remember("result", variant=1)
    assert rig.hits.entries == 0


def test_views_do_not_see_each_other(rig: Rig) -> None:
    first, second = rig.hits.view(), rig.hits.view()
    rig.remember("first", view=first)
    assert second.lookup(("a",), ALICE) is None
    rig.remember("second", view=second)
    assert first.lookup(("a",), ALICE) == "first"
    assert second.lookup(("a",), ALICE) == "second"


def test_results_are_forgotten_when_asked(rig: Rig) -> None:
    rig.remember("result")
    rig.hits.clear()
    assert rig.view.lookup(("a",), ALICE) is None
    assert (rig.hits.entries, rig.hits.weight) == (0, 0)


# --- time ---

TICK = 20_000_000  # ns: some ticks of the coarse clocks


@pytest.mark.parametrize("until", [10**13, 10**15, NO_END_MS])
def test_a_result_without_an_end_that_nanoseconds_can_say_is_served(rig: Rig, until: int) -> None:
    rig.remember("result", until=until)
    assert rig.view.lookup(("a",), ALICE) == "result"


@pytest.mark.parametrize(("ahead_ms", "served"), [(-1000, False), (0, False), (30_000, True)])
def test_a_result_is_served_until_its_wall_time(rig: Rig, ahead_ms: int, served: bool) -> None:
    rig.remember("result", until=int(rig.clock.time() * 1000) + 60_000)
    rig.clock.wall_offset += (60_000 - ahead_ms) * 1_000_000
    assert (rig.view.lookup(("a",), ALICE) is not None) == served


@pytest.mark.parametrize(("ahead_ms", "served"), [(-1000, False), (0, False), (30_000, True)])
def test_a_wall_clock_set_back_does_not_make_a_result_last_longer(rig: Rig, ahead_ms: int, served: bool) -> None:
    rig.remember("result", until=int(rig.clock.time() * 1000) + 60_000)
    rig.clock.wall_offset -= 3600 * 10**9
    rig.clock.monotonic_offset += (60_000 - ahead_ms) * 1_000_000
    rig.hits.checked()
    assert (rig.view.lookup(("a",), ALICE) is not None) == served


def test_once_a_second_the_file_must_be_looked_at(rig: Rig) -> None:
    hits = _engine.Hits(rig.store, rig.clock, 64, 1 << 20)
    view = hits.view()
    rig.remember("result", view=view)
    rig.clock.monotonic_offset += 1_010_000_000
    assert hits.check_due
    assert view.lookup(("a",), ALICE) is None
    rig.clock.monotonic_offset += 3600 * 10**9
    hits.checked()
    rig.clock.monotonic_offset -= 60 * 10**9  # so that this is not late however slow the machine is
    assert not hits.check_due
    assert view.lookup(("a",), ALICE) == "result"


def test_abandoned_results_are_gone_and_no_others_are_kept(rig: Rig) -> None:
    rig.remember("result")
    rig.hits.abandon()
    rig.remember("another")
    assert rig.view.lookup(("a",), ALICE) is None
    assert not rig.view.is_live
    assert rig.hits.entries == 0


def test_a_result_that_is_over_when_it_comes_is_not_served(rig: Rig) -> None:
    rig.remember("result", until=int(rig.clock.time() * 1000) - 1)
    assert rig.view.lookup(("a",), ALICE) is None


# --- coherence ---


def test_a_commit_that_concerns_others_keeps_the_hit(rig: Rig) -> None:
    result = object()
    rig.remember(result)
    for _ in range(3):
        rig.write_something_else()
        assert rig.view.lookup(("a",), ALICE) is result
        assert rig.view.lookup(("a",), ALICE) is result


def test_a_replaced_token_is_not_served(rig: Rig) -> None:
    rig.remember("old")
    rig.write()
    assert rig.view.lookup(("a",), ALICE) is None
    assert rig.hits.entries == 0


def test_a_removed_token_is_not_served(rig: Rig) -> None:
    rig.remember("old")
    _engine.commit(rig.store, [[(_engine.DELETE_TOKEN, _engine.ACCESS, TOKEN)]])
    assert rig.view.lookup(("a",), ALICE) is None


@pytest.mark.parametrize("before", [None, record()])
@pytest.mark.parametrize("after", [None, record()])
def test_the_second_witness_counts_as_much(rig: Rig, before: bytes | None, after: bytes | None) -> None:
    name = bytes(range(32))

    def put(value: bytes | None) -> None:
        kind = (_engine.DELETE,) if value is None else (_engine.PUT,)
        rest = () if value is None else (value,)
        _engine.commit(rig.store, [[(*kind, _engine.IDENTITY, name, *rest)]])

    put(before)
    rig.remember("result", witnesses=[(_engine.ACCESS, TOKEN, rig.value), (_engine.IDENTITY, name, before)])
    rig.write_something_else()
    assert rig.view.lookup(("a",), ALICE) == "result"
    put(after)
    rig.write_something_else()
    assert rig.view.lookup(("a",), ALICE) == ("result" if before == after else None)


def test_a_result_read_before_a_commit_is_not_served_as_of_after_it(rig: Rig) -> None:
    txnid, value = rig.store.newest, rig.value
    rig.write()
    rig.view.remember(
        ("a",), ALICE, None, "old", FAR_MS, txnid, _engine.Witnesses([(_engine.ACCESS, TOKEN, value)]), 100
    )
    assert rig.view.lookup(("a",), ALICE) is None


@pytest.mark.parametrize("part", [slice(40, 52), slice(-16, None)], ids=["nonce", "tag"])
def test_nonce_and_tag_both_witness(rig: Rig, part: slice) -> None:
    rig.remember("old")
    changed = bytearray(rig.value)
    changed[part] = bytes(len(changed[part]))
    rig.write(bytes(changed))
    assert rig.view.lookup(("a",), ALICE) is None


def test_wrong_witnesses_are_refused(rig: Rig) -> None:
    one = (_engine.ACCESS, TOKEN, rig.value)
    for witnesses in ([one, one, one], [(_engine.ACCESS, b"short", rig.value)]):
        with pytest.raises(ValueError, match="witnesses"):
            rig.remember("result", witnesses=witnesses)
    for sealed in (b"", bytes(79)):
        with pytest.raises(ValueError, match="sealed"):
            rig.remember("result", witnesses=[(_engine.ACCESS, TOKEN, sealed)])
    with pytest.raises(ValueError, match="database"):
        rig.remember("result", witnesses=[(99, TOKEN, rig.value)])
    assert rig.hits.entries == 0


# --- bounds ---


def test_entries_are_bounded(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "tokens", entries=64)
    for number in range(2000):
        rig.remember(number, (str(number),))
        assert rig.view.lookup((str(number),), ALICE) == number
        assert rig.hits.entries <= 64
    assert rig.hits.entries > 48


def test_bytes_are_bounded(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "tokens", entries=1024, size=10_000)
    for number in range(500):
        rig.remember(number, (str(number),), weight=1000 + number)
        assert rig.view.lookup((str(number),), ALICE) == number
        assert rig.hits.weight <= 10_000
    assert rig.hits.entries >= 6
    rig.remember("too big", weight=10_001)
    assert rig.view.lookup(("a",), ALICE) is None
    assert rig.hits.weight <= 10_000


def test_absences_push_out_no_results(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "tokens.mdb", entries=4)
    for number in range(4):
        rig.remember(number, variant=str(number))
    for number in range(100):
        rig.view.remember_absence(("a",), ALICE, f"absent {number}", "nothing", rig.store.newest)
    assert [rig.view.lookup(("a",), ALICE, str(number)) for number in range(4)] == [0, 1, 2, 3]


def test_results_push_out_absences_before_other_results(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "tokens.mdb", entries=4)
    for number in range(3):
        rig.view.remember_absence(("a",), ALICE, f"absent {number}", "nothing", rig.store.newest)
    for number in range(4):
        rig.remember(number, variant=str(number), until=FAR_MS - number)
    assert [rig.view.lookup(("a",), ALICE, str(number)) for number in range(4)] == [0, 1, 2, 3]


def test_the_same_request_takes_one_place(rig: Rig) -> None:
    for number in range(100):
        rig.remember(number)
    assert (rig.hits.entries, rig.hits.weight) == (1, 100)
    assert rig.view.lookup(("a",), ALICE) == 99


def test_nothing_is_leaked(tmp_path: Path) -> None:
    """100,000 results come, are served, replaced and dropped: counts and memory are as before."""
    rig = Rig(tmp_path / "tokens", entries=256)
    result, scopes, account = object(), ("scope",), Account("leaky", "e")
    names = [(str(n),) for n in range(1000)]

    def work(rounds: int) -> None:
        for _ in range(rounds):
            for name in names:
                rig.remember(result, name, account)
                rig.view.lookup(name, account)
                rig.view.lookup(scopes, account)
        rig.hits.clear()

    work(2)
    things = [result, scopes, account, account.home_account_id, names[5], rig.value]
    before = [sys.getrefcount(thing) for thing in things]
    tracemalloc.start()
    try:
        work(1)
        start, _ = tracemalloc.get_traced_memory()
        work(98)
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    after = [sys.getrefcount(thing) for thing in things]
    assert after == before
    assert end - start < 20_000


def test_threads_share_the_results(rig: Rig) -> None:
    wrong: list[object] = []
    stop = threading.Event()

    def serve(name: str) -> None:
        scopes = [name]
        while not stop.is_set():
            rig.remember(name, scopes)
            found = rig.view.lookup(scopes, ALICE)
            if found not in (None, name):
                wrong.append(found)

    threads = [threading.Thread(target=serve, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        rig.write()
        rig.hits.clear()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
