"""Reads the `WWW-Authenticate` header with which an API refuses an access token."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["claims_from_challenge"]

MAX_HEADER = 16_384  # characters
MAX_HEADERS = 32

# RFC 9110, sections 5.6.2 (token), 5.6.4 (quoted-string), 11.2 (auth-param) and 11.6.1. Nothing is tried twice: all
# repetitions are possessive, so that no header takes more than one pass.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_ITEM = r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)++'
_PARAMETER = rf'(?:({_TOKEN}) ++)?({_TOKEN})[ \t]*+=[ \t]*+(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)")'
_SCHEME = rf"({_TOKEN})(?: ++[A-Za-z0-9._~+/-]++=*+)?"


def claims_from_challenge(www_authenticate: str | Sequence[str]) -> str | None:
    """Return the claims that an API asks for, as JSON text to pass on as `claims`; None where it asks for none.

    `www_authenticate` is the value of the header, or of each where there are several. Of the Bearer challenges in them
    (RFC 6750, section 3) the first with `error="insufficient_claims"` and `claims`, a JSON object as base64 or
    base64url, counts (MSAL.NET's rule). A challenge that is malformed asks for nothing, nor does what comes after it,
    nor a header of more than 16,384 characters. Raises TypeError for what is neither a str nor a list or tuple of str.
    """
    for challenge in _challenges(_checked(www_authenticate)):
        if challenge.get("error", "").lower() == "insufficient_claims":
            claims = _decoded(challenge.get("claims", ""))
            if claims is not None:
                return claims
    return None


def _checked(headers: str | Sequence[str]) -> list[str]:
    given = [headers] if isinstance(headers, str) else headers
    if not isinstance(given, list | tuple) or not all(isinstance(header, str) for header in given):
        raise TypeError("expected www_authenticate to be a str, or a list of them")
    return [header for header in given[:MAX_HEADERS] if len(header) <= MAX_HEADER]


def _challenges(headers: list[str]) -> Iterator[dict[str, str]]:
    """Yield the parameters of each Bearer challenge, by name in lower case."""
    for header in headers:
        parameters: dict[str, str] = {}
        scheme = ""
        for item in re.findall(_ITEM, header):
            read = _read(item.strip(" \t"))
            if read is None:
                break
            began, name, value = read
            if began:
                yield from _bearer(scheme, parameters)
                scheme, parameters = began, {}
            if name in parameters:
                break  # RFC 9110, section 11.2: each name once
            if name:
                parameters[name] = value
        else:
            yield from _bearer(scheme, parameters)


def _bearer(scheme: str, parameters: dict[str, str]) -> Iterator[dict[str, str]]:
    if scheme.lower() == "bearer":
        yield parameters


def _read(item: str) -> tuple[str, str, str] | None:
    """Return the scheme that an item of the list begins, and the name and value of its parameter, "" where it has none.

    None is for what is no item of such a list.
    """
    parameter = re.fullmatch(_PARAMETER, item, re.DOTALL)
    if parameter:
        scheme, name, plain, quoted = parameter.groups("")
        return scheme, name.lower(), plain or re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
    alone = re.fullmatch(_SCHEME, item)
    if alone:
        return alone[1], "", ""
    return None if item else ("", "", "")  # RFC 9110, section 5.6.1.2: empty items do not count


def _decoded(claims: str) -> str | None:
    from warmtoken.protocol.json_object import decode_base64url, parse_object

    try:
        decoded = decode_base64url(claims.replace("+", "-").replace("/", "_"))
        parse_object(decoded)
        return decoded.decode()
    except ValueError:
        return None
