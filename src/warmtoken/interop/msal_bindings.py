"""What binds a token in an MSAL cache to more than its scopes: extended keys and user assertions.

MSAL.NET keeps the map of components, MSAL Python, Go and Java only a hash of it, each its own. A request that has no
such components must not get such a token (MSAL.NET's symmetric rule), whichever of the fields says so.
"""

from __future__ import annotations

import base64
import hashlib
from typing import cast

from warmtoken.cache.extended_key import USER_ASSERTION, components_of, extended_key
from warmtoken.interop.msal_reasons import Entry, Unfit, checked_text

COMPONENTS = "ext"
# A binding that is known by its hash alone is a component named like the field: no request has such a component.
HASHES = ("ext_cache_key", "ext_cache_key_hash", "additionalCacheKeyComponentsHash", "requestedClaimsHash")
ASSERTION = USER_ASSERTION
CANONICAL = {"ext_cache_key_hash": "ext_cache_key"}  # as Java spells it
_COMPONENT_NAMES = (COMPONENTS, "additionalCacheKeyComponents")
_ASSERTION_NAMES = (ASSERTION, "userAssertionHash")


def hash_of(components: dict[str, str]) -> str:
    """Return the hash by which MSAL Python and Go name a map of components."""
    digest = hashlib.sha256(extended_key(components).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=").lower()


def sent_components(key: str) -> dict[str, str]:
    """Return the components of an extended key that stand in requests: not those known by their hash alone."""
    return {name: value for name, value in components_of(key).items() if name not in (*HASHES, ASSERTION)}


def binding_of(entry: Entry) -> str:
    """Return the extended key that an entry's fields stand for: "" where it is bound to nothing."""
    components = {name: value for field in _COMPONENT_NAMES for name, value in _map(entry.get(field)).items()}
    known = hash_of(components) if components else ""
    for name in HASHES:
        value = checked_text(entry.get(name)).lower()
        if value and value != known:
            components[CANONICAL.get(name, name)] = value
    for name in _ASSERTION_NAMES:
        if value := checked_text(entry.get(name)):
            components[ASSERTION] = value.rstrip("=")  # Go pads, the others do not
    return extended_key(components)


def _map(value: object) -> dict[str, str]:
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise Unfit("field_invalid")
    found = cast("dict[str, object]", value)
    return {name: checked_text(text) for name, text in found.items() if text not in (None, "")}
