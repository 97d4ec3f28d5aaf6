"""The `claims` parameter: a claims challenge united with what the client can handle (OIDC Core, section 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmtoken.errors import ClientError
from warmtoken.protocol.json_object import parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence


def merge_claims(claims: str | None, client_capabilities: Sequence[str]) -> str | None:
    """Return the value of the `claims` parameter, None where there is nothing to say.

    The request's claims win where they and the capabilities (`xms_cc`) say different things. Raises ClientError
    `invalid_json_claims_format` where `claims` is no JSON object, and TypeError for wrong types.
    """
    import json

    requested = _parsed(claims) if claims else {}
    merged = _merged(_capability_claims(client_capabilities), requested)
    return json.dumps(merged, separators=(",", ":")) if merged else None


def _parsed(claims: str) -> dict[str, Any]:
    try:
        return parse_object(claims.encode())
    except AttributeError:
        raise TypeError(f"expected claims as a string of JSON, got {type(claims).__name__}") from None
    except ValueError as error:
        raise ClientError(
            "invalid_json_claims_format",
            f"expected claims as a JSON object, got a text that is {error}; "
            "pass the claims challenge on as the API sent it, base64url-decoded",
        ) from None


def _capability_claims(client_capabilities: Sequence[str]) -> dict[str, Any]:
    if isinstance(client_capabilities, str):
        raise TypeError("expected client_capabilities as a list of strings, such as ['CP1'], got str")
    if not client_capabilities:
        return {}
    return {"access_token": {"xms_cc": {"values": list(client_capabilities)}}}


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = {**base, **over}
    for name in base.keys() & over.keys():
        if isinstance(base[name], dict) and isinstance(over[name], dict):
            result[name] = _merged(base[name], over[name])
    return result
