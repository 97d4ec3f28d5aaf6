"""The text of an MSAL cache: what sections it has, checked and bounded before anything is made of it."""

from __future__ import annotations

import re
from typing import NamedTuple, cast

from warmtoken.errors import ClientError
from warmtoken.protocol.json_object import parse_json

SECTIONS = ("AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata")
MAX_BYTES = 64 << 20
MAX_VALUES = 4_000_000
MAX_ENTRIES = 250_000

_BOM = "\ufeff"
_BY_FOLDED = {section.lower(): section for section in SECTIONS}
_V2_SECTIONS = {
    "access_tokens": "AccessToken",
    "refresh_tokens": "RefreshToken",
    "id_tokens": "IdToken",
    "accounts": "Account",
}
# A string, also one without an end (so that no text is scanned twice), or a comma before a closing bracket.
_TRAILING_COMMA = re.compile(rb'("(?:[^"\\]|\\.)*+(?:"|\\?\Z))|,(?=[ \t\r\n]*[}\]])', re.DOTALL)


class Document(NamedTuple):
    """The entries of each known section, whatever they are, and the sections that are not known."""

    sections: dict[str, list[object]]
    unknown: dict[str, object]

    @property
    def size(self) -> int:
        """The number of entries."""
        return sum(map(len, self.sections.values()))


def parse_document(data: str | bytes) -> Document:
    """Return what the text of an MSAL cache holds: the unified schema, or the array of MSAL.NET before it (v2).

    A byte order mark and trailing commas are allowed, names of sections are compared without case (MSAL.NET). Raises
    TypeError for what is neither str nor bytes, and ClientError for what is no such text, or is too large.
    """
    value = _parse(_encoded(data))
    document = _array(cast("list[object]", value)) if isinstance(value, list) else _object(value)
    if document.size > MAX_ENTRIES:
        raise _too_large(f"{MAX_ENTRIES} entries", f"{document.size}")
    return document


def _encoded(data: object) -> bytes:
    if isinstance(data, str):
        data = _utf8(data)
        if data is None:  # the encoder's own error would hold the whole text
            raise _not_json("characters that are none")
    if not isinstance(data, bytes):
        raise TypeError(f"expected the text of an MSAL cache as str or bytes, got {type(data).__name__}")
    if len(data) > MAX_BYTES:
        raise _too_large(f"{MAX_BYTES} bytes", f"{len(data)}")
    return data.removeprefix(_BOM.encode())


def _utf8(data: str) -> bytes | None:
    try:
        return data.encode()
    except UnicodeEncodeError:
        return None


def _parse(text: bytes) -> object:
    # Before the parser: what it makes of a byte can take a hundred.
    values = sum(map(text.count, (b",", b"[", b"{")))
    if values > MAX_VALUES:
        raise _too_large(f"{MAX_VALUES} values", f"up to {values}")
    try:
        return parse_json(text, max_bytes=MAX_BYTES)
    except ValueError as error:
        trimmed = _TRAILING_COMMA.sub(rb"\1", text)
        if trimmed == text:
            raise _not_json(str(error)) from None
    try:
        return parse_json(trimmed, max_bytes=MAX_BYTES)
    except ValueError as error:
        raise _not_json(str(error)) from None


def _object(value: object) -> Document:
    if not isinstance(value, dict):
        raise _other_schema()
    found = Document({section: [] for section in SECTIONS}, {})
    for name, content in cast("dict[str, object]", value).items():
        section = _BY_FOLDED.get(name.lower())
        if section is None:
            found.unknown[name] = content
        else:
            found.sections[section].extend(_entries(content))
    if value and len(found.unknown) == len(cast("dict[str, object]", value)):
        raise _other_schema()
    return found


def _entries(content: object) -> list[object]:
    # The keys are not read: they are made of the fields, and some writers made them wrong.
    if content is None:
        return []
    if not isinstance(content, dict):
        raise _other_schema()
    return list(cast("dict[str, object]", content).values())


def _array(value: list[object]) -> Document:
    found = Document({section: [] for section in SECTIONS}, {})
    for pair in value:
        name, content = _pair(pair)
        section = _V2_SECTIONS.get(name)
        if section is None:
            found.unknown[name] = content
        else:
            found.sections[section].extend(_v2_entries(content))
    if value and len(found.unknown) == len(value):
        raise _other_schema()
    return found


def _pair(pair: object) -> tuple[str, object]:
    if not isinstance(pair, dict):
        raise _other_schema()
    fields = cast("dict[str, object]", pair)
    name = fields.get("Key")
    if not isinstance(name, str) or "Value" not in fields:
        raise _other_schema()
    return name, fields["Value"]


def _v2_entries(content: object) -> list[object]:
    if content is None:
        return []
    if not isinstance(content, list):
        raise _other_schema()
    return [_v2_entry(entry) for entry in cast("list[object]", content)]


def _v2_entry(entry: object) -> object:
    # An entry that is none is for the reader of entries to report.
    if not isinstance(entry, str):
        return entry
    try:
        return parse_json(entry.encode())
    except ValueError:
        return entry


def _not_json(why: str) -> ClientError:
    return ClientError(
        "msal_cache_not_json",
        f"expected the text of an MSAL cache, JSON in UTF-8, got what is not ({why}); nothing was imported. "
        "A file that MSAL's extensions encrypted has to be read by them first",
    )


def _other_schema() -> ClientError:
    return ClientError(
        "msal_cache_unknown_schema",
        "expected an object with AccessToken, RefreshToken, IdToken, Account or AppMetadata, each an object of "
        "entries, got JSON of another schema; nothing was imported",
    )


def _too_large(limit: str, found: str) -> ClientError:
    return ClientError(
        "msal_cache_too_large", f"expected an MSAL cache of at most {limit}, got {found}; nothing was imported"
    )
