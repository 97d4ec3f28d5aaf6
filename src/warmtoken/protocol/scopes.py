"""Scopes: what may be written, what is looked up, what is sent (RFC 6749, section 3.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

RESERVED = frozenset({"openid", "profile", "offline_access"})

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes as typed and in order, without those that differ from an earlier one in case only.

    Raises TypeError for a bare string, a non-iterable or an item that is no string, and ValueError for an item
    that is no scope-token (RFC 6749, section 3.3).
    """
    if isinstance(scopes, str | bytes) or not isinstance(scopes, (list, Iterable)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected scopes as a list of strings, such as ['User.Read'], got {type(scopes).__name__}")
    typed = tuple(scopes)
    for scope in typed:
        if not isinstance(scope, str):
            raise TypeError(f"expected each scope as a string, got {type(scope).__name__}")
    return _checked(typed)


def lookup_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes as cache keys use them: casefolded, without the reserved ones, sorted, each once."""
    return _folded(tuple(scopes))


def settled_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes as cache keys use them, once `check_scopes` has passed them; raises what it raises."""
    try:
        return _settled(scopes)
    except TypeError:  # of an item that cannot be hashed nothing is kept, and it is no scope
        return lookup_scopes(check_scopes(scopes))


@lru_cache(maxsize=1024)
def _settled(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return lookup_scopes(check_scopes(scopes))


@lru_cache(maxsize=1024)
def _folded(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({scope.casefold() for scope in scopes} - RESERVED))


def wire_scopes(scopes: Iterable[str]) -> str:
    """Return the `scope` parameter of a request for a user: the scopes as typed and the reserved ones, sorted."""
    united = {scope.casefold(): scope for scope in (*sorted(RESERVED), *scopes)}
    return " ".join(united[folded] for folded in sorted(united))


def covers(granted: Iterable[str], asked: Iterable[str]) -> bool:
    """Tell whether a token with the granted scopes serves a request for the others; reserved ones do not count."""
    return set(lookup_scopes(granted)).issuperset(lookup_scopes(asked))


@lru_cache(maxsize=1024)
def _checked(scopes: tuple[str, ...]) -> tuple[str, ...]:
    unique: dict[str, str] = {}
    for scope in scopes:
        if not _SCOPE_TOKEN.fullmatch(scope):
            raise ValueError(
                f"expected a scope of visible ASCII characters without blanks, quotes and backslashes, got {scope!r}; "
                "give several scopes as several strings"
            )
        unique.setdefault(scope.casefold(), scope)
    return tuple(unique.values())
