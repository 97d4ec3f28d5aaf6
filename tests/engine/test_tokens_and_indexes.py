"""Random operations on tokens against a dict: the indexes stay exactly in step, as another process sees them."""

from __future__ import annotations

import tempfile
from itertools import combinations, product
from pathlib import Path
from struct import pack
from typing import NamedTuple

from engine.records import hashes, partition, record, scope_hash, slot_hash, token_key, wanted
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from isolated.support import FileReader

from warmtoken import _engine

USERS = st.sampled_from(["u", "v"])
SLOTS = st.sampled_from(["s", "t"])
SCOPES = st.frozensets(st.sampled_from("abcd"), max_size=4)
EXPIRIES = st.integers(1, 50)


class Token(NamedTuple):
    user: str
    slot: str
    scopes: frozenset[str]
    expires_ms: int
    value: bytes

    @property
    def key(self) -> bytes:
        return token_key(self.user, self.slot, self.scopes)

    def replaces(self, other: Token) -> bool:
        same_slot = (self.user, self.slot) == (other.user, other.slot)
        return same_slot and (self.scopes == other.scopes or (bool(other.scopes) and other.scopes <= self.scopes))

    def operation(self) -> tuple[int, int, bytes, bytes, bytes]:
        return _engine.PUT_TOKEN, _engine.ACCESS, self.key, self.value, hashes(self.slot, self.scopes)

    def index_entries(self) -> dict[bytes, bytes]:
        size = pack("<H", len(self.scopes))
        names = [slot_hash(self.slot), *(scope_hash(self.slot, scope) for scope in self.scopes)]
        return {self.key[:16] + name + self.key[16:]: size for name in names}

    def expiry_entry(self) -> tuple[bytes, bytes]:
        return pack(">Q", self.expires_ms) + self.key, hashes(self.slot, self.scopes)


class Tokens(RuleBasedStateMachine):
    """The engine beside a dict of what it should hold."""

    reader: FileReader

    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "tokens"
        self.store = _engine.open_store(str(self.path), 1 << 26)
        self.model: dict[bytes, Token] = {}
        self.notes: dict[bytes, bytes] = {}

    def _model_put(self, token: Token) -> None:
        self.model = {key: other for key, other in self.model.items() if not token.replaces(other)}
        self.model[token.key] = token

    @rule(user=USERS, slot=SLOTS, scopes=SCOPES, expires=EXPIRIES)
    def put_token(self, user: str, slot: str, scopes: frozenset[str], expires: int) -> None:
        token = Token(user, slot, scopes, expires, record(expires))
        _engine.commit(self.store, [[token.operation()]])
        self._model_put(token)

    @rule(tokens=st.lists(st.tuples(USERS, SLOTS, SCOPES, EXPIRIES), max_size=6), refuse=st.sets(st.integers(0, 5)))
    def put_batches(self, tokens: list[tuple[str, str, frozenset[str], int]], refuse: set[int]) -> None:
        made = [Token(*fields, record(fields[3], b"x" * 40)) for fields in tokens]
        expect = _engine.EXPECT, _engine.META, b"absent", b"something"
        batches = [[token.operation(), *([expect] if n in refuse else [])] for n, token in enumerate(made)]
        _, applied = _engine.commit(self.store, batches)
        assert applied == [n not in refuse for n in range(len(made))]
        for n, token in enumerate(made):
            if n not in refuse:
                self._model_put(token)

    @rule(user=USERS, slot=SLOTS, scopes=SCOPES)
    def delete_token(self, user: str, slot: str, scopes: frozenset[str]) -> None:
        key = token_key(user, slot, scopes)
        _engine.commit(self.store, [[(_engine.DELETE_TOKEN, _engine.ACCESS, key)]])
        self.model.pop(key, None)

    @rule(user=USERS)
    def delete_tokens(self, user: str) -> None:
        _engine.commit(self.store, [[(_engine.DELETE_TOKENS, _engine.ACCESS, partition(user))]])
        self.model = {key: token for key, token in self.model.items() if token.user != user}

    @rule(
        name=st.sampled_from([b"n1", b"n2"]),
        value=st.sampled_from([b"1", b"12"]),
        guess=st.sampled_from([b"", b"1", b"12"]),
    )
    def compare_and_set(self, name: bytes, value: bytes, guess: bytes) -> None:
        there = self.notes.get(name)
        _, [applied] = _engine.commit(
            self.store, [[(_engine.EXPECT, _engine.NOTE, name, guess), (_engine.PUT, _engine.NOTE, name, value)]]
        )
        assert applied == (there is None if not guess else there is not None and there.startswith(guess))
        if applied:
            self.notes[name] = value

    @rule(usable_after=st.integers(0, 60))
    def find_whatever_may_be_asked_for(self, usable_after: int) -> None:
        for user, slot in product("uv", "st"):
            for count in range(5):
                for scopes in combinations("abcd", count):
                    self._find(user, slot, frozenset(scopes), usable_after)

    def _find(self, user: str, slot: str, scopes: frozenset[str], usable_after: int) -> None:
        exact = token_key(user, slot, scopes)
        txnid, key, value, _ = _engine.find_token(self.store, exact, wanted(slot, scopes), usable_after, None)
        assert txnid == self.store.newest
        serving = [t for t in self.model.values() if (t.user, t.slot) == (user, slot) and t.scopes >= scopes]
        if not serving:
            assert key is None
            return
        assert key is not None
        found = self.model[key]
        assert value == found.value
        if exact in self.model and self.model[exact].expires_ms > usable_after:
            assert key == exact
        else:
            assert found in serving
            assert found.expires_ms == max(token.expires_ms for token in serving)

    @invariant()
    def holds_the_tokens(self) -> None:
        if hasattr(self, "store"):
            found = dict(_engine.scan(self.store, _engine.ACCESS, b"", None, 1000))
            assert found == {key: token.value for key, token in self.model.items()}

    @rule()
    def look_into_the_file(self) -> None:
        found = self.reader.dump(self.path)
        index = [entry for token in self.model.values() for entry in token.index_entries().items()]
        assert found["access"] == {key: token.value for key, token in self.model.items()}
        assert found["scope"] == dict(index)
        assert found["expiry"] == dict(token.expiry_entry() for token in self.model.values())
        assert found["note"] == self.notes

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.find_whatever_may_be_asked_for(25)
            self.look_into_the_file()
            del self.store
            self.directory.cleanup()


def test_indexes_stay_in_step_with_the_tokens(file_reader: FileReader) -> None:
    Tokens.reader = file_reader
    few = settings(
        max_examples=60, stateful_step_count=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Tokens, settings=few)
