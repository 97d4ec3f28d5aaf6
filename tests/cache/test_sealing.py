"""What is sealed opens only as what it is, where it is, with the right key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.cache.sealing import HEADER, Header, RecordType, Sealer, is_in_partition, key_id, read_header

KEYS = [bytes([n]) * 32 for n in range(3)]
FILE = b"file id of file1"
NAME = b"n" * 32
PLAIN = b"a secret" * 32
HEAD = Header(1_800_000_000_000, 1_700_000_000_000, 7)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer([KEYS[0]], FILE)


@pytest.fixture
def sealed(sealer: Sealer) -> bytes:
    return sealer.seal(RecordType.ACCESS_TOKEN, NAME, PLAIN, HEAD)


def test_what_is_sealed_opens(sealer: Sealer, sealed: bytes) -> None:
    assert sealer.unseal(RecordType.ACCESS_TOKEN, NAME, sealed) == PLAIN
    assert sealer.refused == 0
    assert read_header(sealed) == HEAD
    assert len(sealed) == HEADER.size + len(PLAIN) + 16
    assert b"secret" not in sealed


def test_the_header_is_laid_out_as_documented(sealed: bytes) -> None:
    assert HEADER.size == 64
    assert sealed[:4] == b"WT\x01\x01"
    assert sealed[4:12] == key_id(KEYS[0])
    assert sealed[12:16] == b"\0\0\x02\0"
    assert [int.from_bytes(sealed[at : at + 8], "little") for at in (16, 24, 32)] == list(HEAD[:3])
    assert int.from_bytes(sealed[52:56], "little") == len(PLAIN) + 16
    assert sealed[56:64] == bytes(8)


def test_the_header_says_that_a_record_lies_in_a_partition(sealer: Sealer, sealed: bytes) -> None:
    within = sealer.seal(RecordType.ACCESS_TOKEN, NAME, PLAIN, HEAD.within("contoso"))
    assert within[12:14] == b"\1\0"
    assert read_header(within) == HEAD._replace(flags=1)
    assert (is_in_partition(within), is_in_partition(sealed), is_in_partition(within[:63])) == (True, False, False)
    assert HEAD.within("") == HEAD


@pytest.mark.parametrize("byte", range(64 + 20))
def test_every_bit_of_the_header_counts(sealer: Sealer, sealed: bytes, byte: int) -> None:
    for bit in range(8):
        changed = bytearray(sealed)
        changed[byte] ^= 1 << bit
        assert sealer.unseal(RecordType.ACCESS_TOKEN, NAME, bytes(changed)) is None
    assert sealer.refused == 8


@given(at=st.integers(0, 64 + 256 + 15), mask=st.integers(1, 255))
def test_every_byte_counts(at: int, mask: int) -> None:
    sealer = Sealer([KEYS[0]], FILE)
    changed = bytearray(sealer.seal(RecordType.ACCOUNT, NAME, PLAIN, HEAD))
    changed[at] ^= mask
    assert sealer.unseal(RecordType.ACCOUNT, NAME, bytes(changed)) is None


@pytest.mark.parametrize("size", [0, 1, 11, 12, 63, 64, 79, 80, 200, -1])
def test_a_cut_record_does_not_open(sealer: Sealer, sealed: bytes, size: int) -> None:
    assert sealer.unseal(RecordType.ACCESS_TOKEN, NAME, sealed[:size]) is None
    assert sealer.refused == 1


def test_a_longer_record_does_not_open(sealer: Sealer, sealed: bytes) -> None:
    assert sealer.unseal(RecordType.ACCESS_TOKEN, NAME, sealed + b"\0") is None


def test_a_record_under_another_key_does_not_open(sealer: Sealer, sealed: bytes) -> None:
    for other in (b"m" * 32, NAME[:-1] + b"o", b"", NAME + b"n"):
        assert sealer.unseal(RecordType.ACCESS_TOKEN, other, sealed) is None
    assert sealer.refused == 4


def test_a_record_in_another_file_does_not_open(sealed: bytes) -> None:
    other = Sealer([KEYS[0]], b"file id of file2")
    assert other.unseal(RecordType.ACCESS_TOKEN, NAME, sealed) is None
    assert other.refused == 1


@pytest.mark.parametrize("kind", [kind for kind in RecordType if kind is not RecordType.ACCESS_TOKEN])
def test_a_record_is_not_taken_for_another_kind(sealer: Sealer, sealed: bytes, kind: RecordType) -> None:
    assert sealer.unseal(kind, NAME, sealed) is None


def test_any_key_of_the_ring_opens_and_the_first_one_seals(sealed: bytes) -> None:
    rotated = Sealer([KEYS[1], KEYS[0]], FILE)
    assert rotated.unseal(RecordType.ACCESS_TOKEN, NAME, sealed) == PLAIN
    assert rotated.seal(RecordType.ACCOUNT, NAME, b"", HEAD)[4:12] == key_id(KEYS[1])
    assert rotated.knows_key_of(sealed)


def test_a_record_of_an_unknown_key_does_not_open(sealed: bytes) -> None:
    stranger = Sealer([KEYS[2]], FILE)
    assert stranger.unseal(RecordType.ACCESS_TOKEN, NAME, sealed) is None
    assert stranger.refused == 1
    assert not stranger.knows_key_of(sealed)
    # Not even where it claims to be sealed with a key that is here.
    claimed = sealed[:4] + key_id(KEYS[2]) + sealed[12:]
    assert stranger.unseal(RecordType.ACCESS_TOKEN, NAME, claimed) is None


def test_no_two_seals_are_alike(sealer: Sealer) -> None:
    seals = {sealer.seal(RecordType.ACCOUNT, NAME, PLAIN, HEAD) for _ in range(100)}
    assert len({sealed[40:52] for sealed in seals}) == 100
    assert len({sealed[-16:] for sealed in seals}) == 100
