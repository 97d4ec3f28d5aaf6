"""Seals records with AES-256-GCM, each bound to its header, its file and its lookup key."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from warmtoken import _engine
from warmtoken.cache.blake2 import blake2b

MAGIC = b"WT"
HEADER = Struct("<2sBB8sHBxqqq12sI8x")
_NONCE = slice(40, 52)
_TAG_SIZE = 16
FOR_EVER = (1 << 63) - 1  # Unix milliseconds: the end of what has none
IN_PARTITION = 1  # among the flags of a header: nobody who looks through all records is shown this one


class RecordType(IntEnum):
    """What a record is; authenticated, so that one kind cannot stand in for another."""

    KEYRING = 1
    ACCESS_TOKEN = 2
    REFRESH_TOKEN = 3
    ID_TOKEN = 4
    ACCOUNT = 5
    APP = 6
    NOTE = 7
    CLIENT = 8
    SECTION = 9
    SESSION = 10


class Header(NamedTuple):
    """The readable part of a record: times in Unix milliseconds, how often the record was written, and flags."""

    expires_ms: int
    refresh_ms: int
    generation: int
    flags: int = 0

    def within(self, partition: str) -> Header:
        """Return the header of such a record that lies in a partition, "" for none."""
        return self._replace(flags=IN_PARTITION) if partition else self


def key_id(key: bytes) -> bytes:
    """Return the 8 bytes by which records name the data key that sealed them."""
    return blake2b(key=key, digest_size=8, person=b"warmtoken key id").digest()


def read_header(value: bytes) -> Header:
    """Return the header of a sealed record, which is not verified by this."""
    fields = HEADER.unpack_from(value)
    return Header(fields[6], fields[7], fields[8], fields[4])


def is_in_partition(value: bytes) -> bool:
    """Tell whether a sealed record, be it a short one that will not verify, says that it lies in a partition."""
    return len(value) >= HEADER.size and bool(read_header(value).flags & IN_PARTITION)


def seal_of(value: bytes) -> bytes:
    """Return nonce and tag of a sealed record: no two writes have the same."""
    return value[_NONCE] + value[-_TAG_SIZE:]


class Sealer(_engine.Unsealer):
    """Seals with one data key and unseals with any it was given.

    `keys` are 32-byte data keys, the active one first; `file_id` is the 16-byte id of the cache file.
    """

    def __init__(self, keys: list[bytes], file_id: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        super().__init__(file_id, InvalidTag)
        self._new_cipher = AESGCM
        self.use(keys)

    def use(self, keys: list[bytes]) -> None:
        """Seal and unseal with other keys from now on, the active one first; other threads may do so meanwhile."""
        self.use_ciphers({key_id(key): self._new_cipher(key) for key in keys}, key_id(keys[0]))

    def seal(self, kind: RecordType, key: bytes, plain: bytes, header: Header) -> bytes:
        """Return the sealed record: 64 bytes of header, the ciphertext, a 16-byte tag."""
        return self._seal(kind, key, plain, *header)
