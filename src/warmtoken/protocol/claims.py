"""The `claims` parameter (OIDC Core, section 5.5): what the client can handle, what it wants, what an API demands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmtoken.errors import ClientError
from warmtoken.protocol.json_object import parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence


MAX_CLIENT_CLAIMS = 16_384  # characters: they are part of a lookup key, and keys are kept


def merge_claims(
    claims: str | None, client_capabilities: Sequence[str], client_claims: str | None = None
) -> str | None:
    """Return the value of the `claims` parameter, None where there is nothing to say.

    Where they say different things the challenge (`claims`) wins over the client's own claims, and these over the
    capabilities (`xms_cc`). Raises ClientError `invalid_json_claims_format` where one is no JSON object, and
    TypeError for wrong types.
    """
    own = _merged(_capability_claims(client_capabilities), _client_claims(client_claims))
    merged = _merged(own, _parsed(claims, _CHALLENGE_ADVICE) if claims else {})
    return _compact(merged) if merged else None


def canonical_claims(client_claims: str) -> str:
    """Return one text for all that say the same: names sorted, no blanks; "" for an empty object.

    Raises ClientError `invalid_json_claims_format` for what is no JSON object, or longer than 16,384 characters.
    """
    parsed = _client_claims(client_claims)
    return _compact(parsed, sort_keys=True) if parsed else ""


_CHALLENGE_ADVICE = "pass the claims challenge on as the API sent it, base64url-decoded"
_CLIENT_ADVICE = 'pass client_claims such as {"access_token":{"name":null}}'


def _client_claims(client_claims: str | None) -> dict[str, Any]:
    if not client_claims:
        return {}
    if len(client_claims) > MAX_CLIENT_CLAIMS:
        raise _no_object(f"longer than {MAX_CLIENT_CLAIMS} characters", _CLIENT_ADVICE)
    return _parsed(client_claims, _CLIENT_ADVICE)


def _compact(claims: dict[str, Any], *, sort_keys: bool = False) -> str:
    import json

    return json.dumps(claims, separators=(",", ":"), sort_keys=sort_keys)


def _parsed(claims: str, advice: str) -> dict[str, Any]:
    try:
        return parse_object(claims.encode())
    except AttributeError:
        raise TypeError(f"expected claims as a string of JSON, got {type(claims).__name__}") from None
    except ValueError as error:
        raise _no_object(str(error), advice) from None


def _no_object(came: str, advice: str) -> ClientError:
    message = f"expected claims as a JSON object, got a text that is {came}; {advice}"
    return ClientError("invalid_json_claims_format", message)


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
