"""BLAKE2b (RFC 7693), without loading OpenSSL as `import hashlib` does: two milliseconds of every process's start."""

from __future__ import annotations

try:
    from _blake2 import blake2b  # where hashlib has it from, in all of CPython since 3.6
except ImportError:  # an interpreter built without it
    from hashlib import blake2b

__all__ = ["blake2b"]
