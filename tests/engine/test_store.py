"""Round trips, batches, expectations and pages of the engine's store."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest
from engine.records import hashes, partition, record, scope_hash, token_key, wanted

from warmtoken import _engine
from warmtoken.errors import CacheCorruptError, CacheError, CacheFullError, CacheRefusedError

if TYPE_CHECKING:
    from isolated.support import FileReader

MAP = 1 << 26
TXNID_AT = 144  # in a meta page of LMDB 0.9
AB = frozenset("ab")
A = frozenset("a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def store(path: Path) -> _engine.Store:
    return _engine.open_store(str(path), MAP)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def put(store: _engine.Store, *operations: tuple[Any, ...]) -> tuple[int, list[bool]]:
    return _engine.commit(store, [list(operations)])


def put_token(store: _engine.Store, scopes: frozenset[str], expires_ms: int, slot: str = "s") -> bytes:
    token = token_key("u", slot, scopes)
    put(store, (_engine.PUT_TOKEN, _engine.ACCESS, token, record(expires_ms), hashes(slot, scopes)))
    return token


def find(store: _engine.Store, scopes: frozenset[str], usable_after: int = 0, slot: str = "s") -> bytes | None:
    return _engine.find_token(store, token_key("u", slot, scopes), wanted(slot, scopes), usable_after, None)[1]


def test_what_is_put_is_read_back_under_its_transaction(store: _engine.Store) -> None:
    txnid, applied = put(store, (_engine.PUT, _engine.NOTE, key(1), b"value"))
    assert applied == [True]
    assert _engine.read(store, _engine.NOTE, key(1)) == (txnid, b"value")
    assert store.newest == txnid


def test_roots_of_another_transaction_than_the_snapshots_are_not_read(store: _engine.Store, path: Path) -> None:
    # As a reader finds them who was held up between the two steps of LMDB's renewal, while others committed twice.
    txnid, _ = put(store, (_engine.PUT, _engine.NOTE, key(1), b"value"))
    at = (txnid & 1) * os.sysconf("SC_PAGE_SIZE") + TXNID_AT
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), pack("<Q", txnid + 2), at)
        with pytest.raises(CacheCorruptError):
            _engine.read(store, _engine.NOTE, key(1))
        assert all(reading is None for _, reading in _engine.readers(store))
        os.pwrite(file.fileno(), pack("<Q", txnid), at)
    assert _engine.read(store, _engine.NOTE, key(1)) == (txnid, b"value")


def test_each_database_is_its_own(store: _engine.Store) -> None:
    databases = [_engine.META, _engine.ACCESS, _engine.REFRESH, _engine.IDENTITY, _engine.ACCOUNT, _engine.APP]
    put(store, *[(_engine.PUT, database, key(1), bytes([database])) for database in databases])
    assert [_engine.read(store, database, key(1))[1] for database in databases] == [bytes([db]) for db in databases]
    assert _engine.read(store, _engine.NOTE, key(1))[1] is None


def test_one_file_has_one_store_in_a_process(store: _engine.Store, path: Path, tmp_path: Path) -> None:
    assert _engine.open_store(str(path), MAP) is store
    assert _engine.open_store(f"{tmp_path}/../{tmp_path.name}/tokens", MAP) is store


def test_a_store_let_go_of_is_closed_and_opens_again(path: Path) -> None:
    put(_engine.open_store(str(path), MAP), (_engine.PUT, _engine.NOTE, key(1), b"value"))
    gc.collect()
    assert path not in [file.resolve() for file in Path("/proc/self/fd").iterdir()]
    assert _engine.read(_engine.open_store(str(path), MAP), _engine.NOTE, key(1))[1] == b"value"


def test_the_data_file_is_closed_in_started_programs(store: _engine.Store, path: Path) -> None:
    ours = [fd for fd in Path("/proc/self/fd").iterdir() if fd.resolve() == path]
    assert ours
    assert not any(os.get_inheritable(int(fd.name)) for fd in ours)


def test_put_new_keeps_what_is_there(store: _engine.Store) -> None:
    put(store, (_engine.PUT_NEW, _engine.NOTE, key(1), b"first"))
    assert put(store, (_engine.PUT_NEW, _engine.NOTE, key(1), b"second")) == (0, [True])
    assert _engine.read(store, _engine.NOTE, key(1))[1] == b"first"


def test_a_commit_that_changes_nothing_moves_no_transaction_id(store: _engine.Store) -> None:
    put(store, (_engine.PUT, _engine.NOTE, key(1), b"value"))
    before = store.newest
    assert put(store, (_engine.DELETE, _engine.NOTE, key(2))) == (0, [True])
    assert _engine.commit(store, []) == (0, [])
    assert store.newest == before
    assert put(store, (_engine.DELETE, _engine.NOTE, key(1)))[0] == before + 1


def test_delete_prefix_takes_all_that_begin_so_and_no_others(store: _engine.Store) -> None:
    inside, outside = [b"p" + key(n) for n in range(3000)], [b"o" + key(1), b"q" + key(1), b"p"[:0] + b"\xff" * 8]
    put(store, *[(_engine.PUT, _engine.NOTE, name, b"x" * 100) for name in inside + outside])
    put(store, (_engine.DELETE_PREFIX, _engine.NOTE, b"p"))
    assert [name for name, _ in _engine.scan(store, _engine.NOTE, b"", None, 9000)] == sorted(outside)


@pytest.mark.parametrize(
    ("stored", "expected", "applied"),
    [
        (None, b"", True),
        (None, b"head", False),
        (b"head and more", b"head", True),
        (b"head and more", b"head and more", True),
        (b"head", b"head and more", False),
        (b"heap and more", b"head", False),
        (b"head", b"", False),
        (b"", b"", False),
    ],
)
def test_a_batch_applies_only_where_its_expectation_holds(
    store: _engine.Store, stored: bytes | None, expected: bytes, applied: bool
) -> None:
    if stored is not None:
        put(store, (_engine.PUT, _engine.REFRESH, key(1), stored))
    _, outcome = put(
        store, (_engine.PUT, _engine.NOTE, key(2), b"trace"), (_engine.EXPECT, _engine.REFRESH, key(1), expected)
    )
    assert outcome == [applied]
    assert _engine.read(store, _engine.NOTE, key(2))[1] == (b"trace" if applied else None)


def test_a_refused_batch_leaves_no_trace_and_the_others_are_applied(
    store: _engine.Store, path: Path, file_reader: FileReader
) -> None:
    old = put_token(store, A, 1000)
    refused = [
        (_engine.DELETE_TOKENS, _engine.ACCESS, partition("u")),
        (_engine.EXPECT, _engine.META, key(9), b"not there"),
        (_engine.PUT, _engine.NOTE, key(2), b"trace"),
    ]
    first = [(_engine.PUT, _engine.NOTE, key(1), b"1")]
    last = [(_engine.EXPECT, _engine.NOTE, key(1), b"1"), (_engine.PUT, _engine.NOTE, key(3), b"3")]
    txnid, applied = _engine.commit(store, [first, refused, last])
    assert applied == [True, False, True]
    found = file_reader.dump(path)
    assert found["note"] == {key(1): b"1", key(3): b"3"}
    assert list(found["access"]) == [old]
    assert file_reader.last_txnid(path) == txnid


def test_scan_goes_through_all_records_in_pages(store: _engine.Store) -> None:
    names = [bytes([n % 3]) + key(n) for n in range(1, 1000)]
    put(store, *[(_engine.PUT, _engine.NOTE, name, name[::-1]) for name in names])
    for prefix in (b"", b"\1"):
        found: list[tuple[bytes, bytes]] = []
        while page := _engine.scan(store, _engine.NOTE, prefix, found[-1][0] if found else None, 64):
            assert len(page) <= 64
            found += page
        assert found == [(name, name[::-1]) for name in sorted(names) if name.startswith(prefix)]


@pytest.mark.parametrize("size", [1, 64, 333, 999, 1000])
@pytest.mark.parametrize("first", [0, 4])
def test_pages_are_all_that_a_scan_finds(store: _engine.Store, size: int, first: int) -> None:
    names = [bytes([n % 3]) + key(n) for n in range(1, 1000)]
    put(store, *[(_engine.PUT, _engine.NOTE, name, name[::-1]) for name in names])
    for prefix in (b"", b"\1", b"none"):
        pages = list(_engine.pages(store, _engine.NOTE, prefix, size, first))
        wanted = [(name, name[::-1]) for name in sorted(names) if name.startswith(prefix)]
        assert [pair for page in pages for pair in page] == wanted
        assert all(0 < len(page) <= (first or size if n == 0 else size) for n, page in enumerate(pages))


def test_pages_show_what_is_written_behind_them_meanwhile(store: _engine.Store) -> None:
    put(store, *[(_engine.PUT, _engine.NOTE, key(n), b"v" * 80) for n in (1, 2)])
    pages = _engine.pages(store, _engine.NOTE, b"", 1)
    assert [name for name, _ in next(pages)] == [key(1)]
    put(store, (_engine.PUT, _engine.NOTE, key(3), b"v" * 80), (_engine.DELETE, _engine.NOTE, key(2)))
    assert [[name for name, _ in page] for page in pages] == [[key(3)]]


def test_scan_of_nothing_finds_nothing(store: _engine.Store) -> None:
    assert _engine.scan(store, _engine.NOTE, b"prefix") == []
    assert _engine.scan(store, _engine.NOTE, b"") == []
    assert _engine.scan(store, _engine.NOTE, b"", None, 0) == []


# --- tokens ---


def test_a_token_is_found_by_its_scopes_by_some_and_by_none(store: _engine.Store) -> None:
    token = put_token(store, AB, 1000)
    assert [find(store, frozenset(asked)) for asked in ("ab", "a", "b", "")] == [token] * 4
    assert find(store, frozenset("abc")) is None
    assert find(store, frozenset("c")) is None
    assert find(store, A, slot="other") is None


def test_of_several_that_serve_the_one_that_expires_last_is_taken(store: _engine.Store) -> None:
    put_token(store, frozenset("ab"), 1000)
    latest = put_token(store, frozenset("ac"), 3000)
    put_token(store, frozenset("ad"), 2000)
    assert find(store, A) == latest
    assert find(store, frozenset()) == latest


@pytest.mark.parametrize(("usable_after", "exact"), [(999, True), (1000, False), (1001, False)])
def test_the_exact_token_is_taken_while_it_is_usable(store: _engine.Store, usable_after: int, exact: bool) -> None:
    tokens = put_token(store, AB, 9000), put_token(store, A, 1000)
    assert find(store, A, usable_after) == tokens[exact]


def test_an_exact_token_is_better_than_none(store: _engine.Store) -> None:
    token = put_token(store, A, 1000)
    assert find(store, A, 5000) == token


def test_a_token_replaces_those_that_it_covers_in_its_slot_alone(store: _engine.Store) -> None:
    covered = [put_token(store, frozenset(scopes), 9000) for scopes in ("a", "b", "ab")]
    kept = [put_token(store, frozenset("ad"), 9000), put_token(store, A, 9000, slot="other")]
    new = put_token(store, frozenset("abc"), 1000)
    found = {name for name, _ in _engine.scan(store, _engine.ACCESS, b"")}
    assert found == {*kept, new}
    assert not found & set(covered)
    assert len(_engine.scan(store, _engine.SCOPE, b"")) == 3 + 2 + 4  # a slot's entry, and one for each scope
    assert len(_engine.scan(store, _engine.EXPIRY, b"")) == 3


def test_the_id_token_of_the_same_snapshot_comes_along(store: _engine.Store) -> None:
    token = put_token(store, A, 1000)
    put(store, (_engine.PUT, _engine.IDENTITY, key(7), b"identity"))
    asked = token, wanted("s", A), 0
    assert _engine.find_token(store, *asked, key(7))[3] == b"identity"
    assert _engine.find_token(store, *asked, key(8))[3] is None
    assert _engine.find_token(store, *asked, key(7))[0] == store.newest


def test_many_tokens_of_a_user_go_at_once(store: _engine.Store) -> None:
    for first in range(0, 1500, 500):
        operations = []
        for number in range(first, first + 500):
            scopes = frozenset({str(number), "common"})
            token = token_key("u", "s", scopes)
            operations.append((_engine.PUT_TOKEN, _engine.ACCESS, token, record(number), hashes("s", scopes)))
        put(store, *operations)
    other = token_key("v", "s", A)
    put(store, (_engine.PUT_TOKEN, _engine.ACCESS, other, record(5), hashes("s", A)))
    put(store, (_engine.DELETE_TOKENS, _engine.ACCESS, partition("u")))
    assert [name for name, _ in _engine.scan(store, _engine.ACCESS, b"")] == [other]
    assert len(_engine.scan(store, _engine.SCOPE, b"")) == 2
    assert len(_engine.scan(store, _engine.EXPIRY, b"")) == 1


# --- what is refused ---


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ((), TypeError),
        ((_engine.PUT,), TypeError),
        ((_engine.PUT, _engine.NOTE), TypeError),
        ((_engine.PUT, _engine.NOTE, None, b"v"), TypeError),
        ((_engine.PUT, _engine.NOTE, b"k", None), TypeError),
        ((_engine.PUT, _engine.NOTE, "k", b"v"), TypeError),
        ((_engine.PUT, _engine.NOTE, bytearray(b"k"), b"v"), TypeError),
        ((_engine.PUT, "note", b"k", b"v"), TypeError),
        ([_engine.PUT, _engine.NOTE, b"k", b"v"], TypeError),
        (None, TypeError),
        ((_engine.PUT, _engine.NOTE, b"k", b"v", b"s", b"?"), TypeError),
        ((99, _engine.NOTE, b"k", b"v"), ValueError),
        ((-1, _engine.NOTE, b"k", b"v"), ValueError),
        ((_engine.PUT, 99, b"k", b"v"), ValueError),
        ((_engine.PUT, -1, b"k", b"v"), ValueError),
        ((_engine.DELETE_TOKEN, _engine.ACCESS, b"short"), ValueError),
        ((_engine.PUT_TOKEN, _engine.ACCESS, b"short", record(), bytes(8)), ValueError),
        ((_engine.PUT_TOKEN, _engine.ACCESS, bytes(32), b"short", bytes(8)), ValueError),
        ((_engine.PUT_TOKEN, _engine.ACCESS, bytes(32), record(), b""), ValueError),
        ((_engine.PUT_TOKEN, _engine.ACCESS, bytes(32), record(), bytes(9)), ValueError),
        ((_engine.PUT_TOKEN, _engine.ACCESS, bytes(32), record()), ValueError),
        ((_engine.PUT, _engine.NOTE, b"", b"v"), CacheError),
        ((_engine.PUT, _engine.NOTE, bytes(512), b"v"), CacheError),
    ],
)
def test_an_operation_that_cannot_be_is_refused_and_nothing_is_written(
    store: _engine.Store, operation: Any, error: type[Exception]
) -> None:
    before = store.newest
    with pytest.raises(error):
        _engine.commit(store, [[(_engine.PUT, _engine.NOTE, key(1), b"before"), operation]])
    assert store.newest == before
    assert _engine.read(store, _engine.NOTE, key(1))[1] is None


def test_reads_with_wrong_arguments_are_refused(store: _engine.Store) -> None:
    for database in (-1, 9):
        with pytest.raises(ValueError, match="database number"):
            _engine.read(store, database, key(1))
        with pytest.raises(ValueError, match="database number"):
            _engine.scan(store, database, b"")
    for wrong in ((b"short", bytes(8)), (bytes(32), b""), (bytes(32), bytes(7))):
        with pytest.raises(ValueError, match="expected a key"):
            _engine.find_token(store, *wrong, 0, None)
    for none in (lambda: _engine.read(store, 0, None), lambda: _engine.scan(store, 0, None)):  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            none()
    with pytest.raises(TypeError):
        _engine.scan(store, 0, b"", "text")  # type: ignore[arg-type]
    assert _engine.read(store, _engine.NOTE, b"")[1] is None


def test_a_full_map_is_said_and_what_was_written_stays(path: Path) -> None:
    store = _engine.open_store(str(path), 1 << 20, 1 << 20)
    put(store, (_engine.PUT, _engine.NOTE, key(1), b"value"))
    with pytest.raises(CacheFullError) as caught:
        put(store, (_engine.DELETE, _engine.NOTE, key(1)), (_engine.PUT, _engine.NOTE, key(2), bytes(2 << 20)))
    assert caught.value.code == "map_full"
    assert _engine.read(store, _engine.NOTE, key(1))[1] == b"value"
    put(store, (_engine.PUT, _engine.NOTE, key(1), b"again"))
    assert _engine.read(store, _engine.NOTE, key(1))[1] == b"again"


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheError):
        _engine.open_store(str(tmp_path / "missing" / "tokens"), MAP)


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    path.write_bytes(b"no database" * 2000)
    with pytest.raises((CacheCorruptError, CacheRefusedError)) as caught:
        _engine.open_store(str(path), MAP)
    assert caught.value.code == "not_a_cache"
    assert path.read_bytes() == b"no database" * 2000


def test_an_index_that_points_nowhere_is_passed_over(store: _engine.Store) -> None:
    put_token(store, AB, 1000)
    gone = token_key("u", "s", AB)
    put(store, (_engine.DELETE, _engine.ACCESS, gone))
    assert find(store, A) is None
    assert [name for name, _ in _engine.scan(store, _engine.SCOPE, partition("u") + scope_hash("s", "a"))] != []
