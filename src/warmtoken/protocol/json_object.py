"""JSON from outside, read strictly: one object, no key twice, bounded in size and depth."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = 1 << 20
MAX_DEPTH = 20

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that the body is (RFC 8259).

    Raises ValueError, whose message holds nothing of the body: over 1 MiB, not UTF-8, not JSON, not an object,
    a name twice in one object, nested deeper than 20.
    """
    value = parse_json(body)
    if not isinstance(value, dict):
        raise ValueError("JSON, but no object")
    return cast("dict[str, Any]", value)


def parse_json(body: bytes, *, max_bytes: int = MAX_BYTES) -> object:
    """Return the JSON value that the body is; raises ValueError as above, but for its type."""
    if len(body) > max_bytes:
        raise ValueError(f"longer than {max_bytes} bytes")
    value, wrong = _loaded(body)
    if wrong:  # raised here: the decoder's own error holds the whole body, and would go along as the context
        raise ValueError(wrong)
    _check_depth(value, MAX_DEPTH)
    return value


def parse_base64url_object(text: str) -> dict[str, Any]:
    """Return the JSON object that a base64url text holds (RFC 7515, section 2); raises ValueError as above."""
    return parse_object(decode_base64url(text))


def decode_base64url(text: str) -> bytes:
    """Return what a base64url text holds, padded or not (RFC 7515, section 2); raises ValueError for any other."""
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    bare = text.rstrip("=")
    return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))


class _DuplicateNameError(ValueError):
    pass


def _loaded(body: bytes) -> tuple[object, str]:
    """Return the value, or what is wrong with the body."""
    try:
        return _loads(body), ""
    except RecursionError:
        return None, f"nested deeper than {MAX_DEPTH}"
    except _DuplicateNameError:
        return None, "the same name twice in one object"
    except ValueError:
        return None, "not JSON in UTF-8"


def _loads(body: bytes) -> object:
    import json

    import orjson

    orjson.loads(body)  # strict where json is not: NaN, lone surrogates, control characters, other encodings
    return json.loads(body, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _DuplicateNameError
    return fields


def _check_depth(value: object, room: int) -> None:
    if not isinstance(value, dict | list):
        return
    if room == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    container = cast("dict[str, object] | list[object]", value)
    children: Iterable[object] = container.values() if isinstance(container, dict) else container
    for child in children:
        _check_depth(child, room - 1)
