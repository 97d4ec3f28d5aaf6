"""How each MSAL writes its cache: the keys, and the fields in which it differs from MSAL Python.

The keys follow what each library makes of the fields (none of them reads a key, but for MSAL Python's exact lookup).
Fields that a dialect would leave out but that say something are written all the same: every MSAL carries along what it
does not know.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import NamedTuple, cast

from warmtoken.interop.msal_bindings import COMPONENTS, HASHES, hash_of
from warmtoken.interop.msal_entries import client_info_of
from warmtoken.interop.msal_reasons import Entry

Key = Callable[[Entry], str]
_BOUND = "accesstoken_with_authscheme"


class Dialect(NamedTuple):
    """How one MSAL writes: what it makes of an entry of a section, and the key of what it made."""

    keys: dict[str, Key]
    dress: Callable[[str, Entry], Entry]

    def written(self, section: str, entry: Entry) -> tuple[str, Entry]:
        """Return the key and the entry as this MSAL would write them."""
        dressed = self.dress(section, entry)
        return self.keys[section](dressed), dressed


# --- keys ------------------------------------------------------------------------------------------------------------


def _text(entry: Entry, name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _joined(entry: Entry, kind: str, *rest: str) -> str:
    return "-".join((_text(entry, "home_account_id"), _text(entry, "environment"), kind, *rest)).lower()


def _place(entry: Entry) -> tuple[str, str, str]:
    return _text(entry, "client_id"), _text(entry, "realm"), _text(entry, "target")


def _scheme(entry: Entry) -> str:
    scheme = _text(entry, "token_type").lower()
    return "" if scheme == "bearer" else scheme


def _family(entry: Entry) -> str:
    return _text(entry, "family_id") or _text(entry, "client_id")


def _hash(entry: Entry, of: Callable[[dict[str, str]], str]) -> str:
    components = entry.get(COMPONENTS)
    if isinstance(components, dict) and components:
        return of(cast("dict[str, str]", components))
    return next((value for name in HASHES if (value := _text(entry, name))), "")


def _concatenated(components: dict[str, str]) -> str:
    # MSAL.NET and Node: no lengths, so {"ab": "c"} and {"a": "bc"} hash alike.
    text = "".join(name + components[name] for name in sorted(components))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def _some(*parts: str) -> tuple[str, ...]:
    return tuple(part for part in parts if part)


def _net_access_token(entry: Entry) -> str:
    scheme, extension = _scheme(entry), _hash(entry, _concatenated)
    scheme = "" if scheme == "ssh-cert" else scheme
    kind = "atext" if extension else _BOUND if scheme else "accesstoken"
    return _joined(entry, kind, *_place(entry), *_some(scheme, extension))


def _python_access_token(entry: Entry) -> str:
    extension = _hash(entry, hash_of)
    return _joined(entry, "atext" if extension else "accesstoken", *_place(entry), *_some(extension))


def _java_access_token(entry: Entry) -> str:
    return _joined(entry, "accesstoken", *_place(entry), *_some(_hash(entry, hash_of)))


def _go_access_token(entry: Entry) -> str:
    extension = _hash(entry, hash_of)
    kind = "atext" if extension else "accesstoken"
    return _joined(entry, kind, *_place(entry), *_some(_scheme(entry), extension))


def _node_access_token(entry: Entry) -> str:
    scheme = _scheme(entry)
    kind = _BOUND if scheme else "accesstoken"
    return _joined(entry, kind, *_place(entry), scheme, *_some(_hash(entry, _concatenated)))


def _net_refresh_token(entry: Entry) -> str:
    return _joined(entry, "refreshtoken", _family(entry), "", "", *_some(_hash(entry, _concatenated)))


def _python_refresh_token(entry: Entry) -> str:
    return _joined(entry, "refreshtoken", _text(entry, "client_id"), "", _text(entry, "target"))


def _go_refresh_token(entry: Entry) -> str:
    return _joined(entry, "refreshtoken", _family(entry))


def _node_refresh_token(entry: Entry) -> str:
    return _joined(entry, "refreshtoken", _family(entry), "", _text(entry, "target"), "")


def _id_token(entry: Entry) -> str:
    return _joined(entry, "idtoken", _text(entry, "client_id"), _text(entry, "realm"), "")


def _go_id_token(entry: Entry) -> str:
    return _joined(entry, "idtoken", _text(entry, "client_id"), _text(entry, "realm"))


def _node_id_token(entry: Entry) -> str:
    return _id_token(entry) + "-"


def _net_account(entry: Entry) -> str:
    return "-".join(_text(entry, name) for name in ("home_account_id", "environment", "realm"))


def _account(entry: Entry) -> str:
    return _net_account(entry).lower()


def _node_account(entry: Entry) -> str:
    user = _text(entry, "home_account_id")
    home_tenant = (*user.split("."), "")[1] or _text(entry, "realm")
    return "-".join((user, _text(entry, "environment"), home_tenant)).lower()


def _python_app(entry: Entry) -> str:
    return "-".join(("appmetadata", _text(entry, "environment"), _text(entry, "client_id")))


def _app(entry: Entry) -> str:
    return _python_app(entry).lower()


# --- fields ----------------------------------------------------------------------------------------------------------


def _python(section: str, entry: Entry) -> Entry:
    return entry


def _net(section: str, entry: Entry) -> Entry:
    dressed = _respelled(section, entry, "kid") | _client_info(section, entry, _NET_CLIENT_INFO)
    if section == "AccessToken":
        dressed.setdefault("ext_expires_on", entry["extended_expires_on"])
        dressed["credential_type"] = _net_credential_type(entry)
        _bind_for_net(dressed)
        if entry.get("token_type") == "Bearer":
            del dressed["token_type"]
    omitted = _OMITTED_IF_EMPTY[section]
    return {name: value for name, value in dressed.items() if value not in (None, "") or name not in omitted}


def _net_credential_type(entry: Entry) -> str:
    if _hash(entry, _concatenated):
        return "atext"
    return "AccessToken_With_AuthScheme" if _scheme(entry) not in ("", "ssh-cert") else "AccessToken"


def _bind_for_net(entry: Entry) -> None:
    # MSAL.NET looks at the map alone: without one it would serve the token to plain requests.
    bound = {name: entry[name] for name in HASHES if _text(entry, name)}
    if bound and not entry.get(COMPONENTS):
        entry[COMPONENTS] = bound


def _java(section: str, entry: Entry) -> Entry:
    renamed = {"ext_cache_key_hash" if name == "ext_cache_key" else name: value for name, value in entry.items()}
    return renamed if section == "AccessToken" else entry


def _go(section: str, entry: Entry) -> Entry:
    dressed = _respelled(section, entry, "keyid") | _client_info(section, entry, _ACCOUNT_CLIENT_INFO)
    if section == "AccessToken" and _hash(entry, hash_of):
        dressed["credential_type"] = "atext"
    return dressed


def _node(section: str, entry: Entry) -> Entry:
    dressed = entry | _client_info(section, entry, _ACCOUNT_CLIENT_INFO)
    if section == "AccessToken" and _scheme(entry):
        dressed["credential_type"] = "AccessToken_With_AuthScheme"
    return dressed


_OMITTED_IF_EMPTY = {
    "AccessToken": frozenset({"home_account_id", "realm", "target"}),
    "RefreshToken": frozenset({"target"}),
    "IdToken": frozenset({"realm"}),
    "Account": frozenset({"realm", "local_account_id", "username", "authority_type"}),
    "AppMetadata": frozenset[str](),
}
_NET_CLIENT_INFO = frozenset({"AccessToken", "RefreshToken", "IdToken", "Account"})
_ACCOUNT_CLIENT_INFO = frozenset({"Account"})


def _client_info(section: str, entry: Entry, sections: frozenset[str]) -> Entry:
    known = client_info_of(_text(entry, "home_account_id"))
    return {"client_info": known} if known and section in sections and "client_info" not in entry else {}


def _respelled(section: str, entry: Entry, key_id: str) -> Entry:
    if section not in ("AccessToken", "RefreshToken"):
        return entry
    return {key_id if name == "key_id" else name: value for name, value in entry.items()}


def _keys(access: Key, refresh: Key, identity: Key, account: Key, app: Key) -> dict[str, Key]:
    return {
        "AccessToken": access,
        "RefreshToken": refresh,
        "IdToken": identity,
        "Account": account,
        "AppMetadata": app,
    }


DIALECTS = {
    "dotnet": Dialect(_keys(_net_access_token, _net_refresh_token, _id_token, _net_account, _app), _net),
    "python": Dialect(_keys(_python_access_token, _python_refresh_token, _id_token, _account, _python_app), _python),
    "java": Dialect(_keys(_java_access_token, _net_refresh_token, _id_token, _account, _app), _java),
    "go": Dialect(_keys(_go_access_token, _go_refresh_token, _go_id_token, _account, _app), _go),
    "node": Dialect(_keys(_node_access_token, _node_refresh_token, _node_id_token, _node_account, _app), _node),
}
