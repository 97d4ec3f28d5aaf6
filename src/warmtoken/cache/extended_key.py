"""The extended key: what else a request must have in common with an access token that serves it.

A map of components, such as the claims that a client sends of its own accord, as one text. MSAL has a hash there;
this text is what MSAL Python and Go hash, and MSAL.NET's map can be read from it.
"""

from __future__ import annotations

from collections.abc import Mapping

CLIENT_CLAIMS = "client_claims"
FMI_PATH = "fmi_path"
USER_ASSERTION = "user_assertion_hash"  # MSAL's name for what tells the tokens of a session from all others


def extended_key(components: Mapping[str, str]) -> str:
    """Return the text of a map: "" where it is empty, and no text for two maps.

    Names and values as netstrings (their length in UTF-8 bytes, a colon, the text), by name.
    """
    return "".join(_prefixed(name) + _prefixed(components[name]) for name in sorted(components))


def components_of(key: str) -> dict[str, str]:
    """Return the map that a text stands for; raises ValueError for what `extended_key` does not return."""
    rest, texts = key.encode(), list[str]()
    while rest:
        length, colon, rest = rest.partition(b":")
        if not colon or not length.isdigit() or len(rest) < int(length):
            raise ValueError("expected an extended key of netstrings")
        texts.append(rest[: int(length)].decode())
        rest = rest[int(length) :]
    components = dict(zip(texts[::2], texts[1::2], strict=False))
    if extended_key(components) != key:
        raise ValueError("expected an extended key of names and values, sorted by name")
    return components


def _prefixed(text: str) -> str:
    return f"{len(text.encode())}:{text}"
