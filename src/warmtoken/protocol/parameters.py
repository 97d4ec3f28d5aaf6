"""Parameters of a program's own, which go along with each request: `audience`, `resource` (RFC 8707) and their like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from warmtoken.texts import is_unicode

Parameters = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[A-Za-z0-9._-]+")  # RFC 6749, section 8.2
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SET_BY_ITSELF = "it is set for each request by itself"
_OF_A_CALL = "pass it to the call that signs the user in"

# Names that a request has already, or that would make another request of it, and what to use instead.
_INSTEAD = {
    "client_id": "pass it as the first argument",
    "client_secret": "pass credential=ClientSecret(…)",
    "client_assertion": "pass credential=ClientAssertion(…) or ClientCertificate(…)",
    "client_assertion_type": "pass credential=ClientAssertion(…) or ClientCertificate(…)",
    "grant_type": "call the method of the grant, such as acquire_token_for_client",
    "scope": "pass scopes to the call",
    "claims": "pass client_capabilities=, or claims= or client_claims= to the call",
    "login_hint": _OF_A_CALL,
    "prompt": _OF_A_CALL,
    "domain_hint": _OF_A_CALL,
    "max_age": _OF_A_CALL,
    "redirect_uri": "pass redirect_path=, or redirect_uri to initiate_auth_code_flow",
    "response_mode": "pass it to initiate_auth_code_flow",
    "instance_aware": "pass multi_cloud=True",
    "refresh_token": "call acquire_token_by_refresh_token",
    "fmi_path": "pass it to acquire_token_for_client",
    "user_federated_identity_credential": "call acquire_token_by_user_federated_identity_credential",
    "user_id": "call acquire_token_by_user_federated_identity_credential",
    "device_code": "call acquire_token_by_device_code",
    "username": "sign the user in with acquire_token_interactive",
    "password": "sign the user in with acquire_token_interactive",
    "request": "requests as signed objects (RFC 9101) are not supported",
    "request_uri": "requests as signed objects (RFC 9101) are not supported",
    **dict.fromkeys(
        (
            "assertion",
            "requested_token_use",
            "requested_token_type",
            "subject_token",
            "subject_token_type",
            "actor_token",
            "actor_token_type",
        ),
        "call acquire_token_on_behalf_of",
    ),
    **dict.fromkeys(
        (
            "code",
            "code_verifier",
            "code_challenge",
            "code_challenge_method",
            "state",
            "nonce",
            "response_type",
            "client_info",
        ),
        _SET_BY_ITSELF,
    ),
}


def checked_parameters(parameters: object) -> Parameters:
    """Return the parameters of an application as pairs, sorted by name; those of one name in the order they came.

    Raises TypeError and ValueError for what cannot be sent, or is the library's own to send.
    """
    if not isinstance(parameters, Mapping):
        raise TypeError(
            f'expected parameters to be a mapping such as {{"audience": "…"}} or None, got {type(parameters).__name__}'
        )
    given = cast("Mapping[object, object]", parameters)
    pairs = [(_checked_name(name), value) for name in given for value in _values(name, given[name])]
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"expected the names of parameters to be str, got {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected the name of a parameter of ASCII letters, digits, '.', '_' and '-', got {name!r}")
    instead = _INSTEAD.get(name.lower())  # some providers find names without case
    if instead is not None:
        raise ValueError(f"expected parameters without {name!r}: {instead}")
    return name


def _values(name: object, value: object) -> list[str]:
    # One that is sent several times, such as `resource` (RFC 8707, section 2).
    several = cast("Sequence[object]", value) if isinstance(value, list | tuple) else [value]
    if not several:
        raise ValueError(f"expected parameter {name!r} to have a value, got none; leave it out instead")
    return [_checked_value(name, one) for one in several]


def _checked_value(name: object, value: object) -> str:
    # What a program passes by mistake may be a secret: no message shows a value.
    if not isinstance(value, str):
        raise TypeError(f"expected parameter {name!r} to be a str, or a list of str, got {type(value).__name__}")
    if not value:  # RFC 6749, section 3.1: it would be taken for one that was left out
        raise ValueError(f"expected parameter {name!r} to have something in it, got an empty str; leave it out instead")
    if _CONTROL.search(value):
        raise ValueError(f"expected parameter {name!r} without control characters, such as line ends")
    if not is_unicode(value):
        raise ValueError(f"expected parameter {name!r} to be text that UTF-8 can encode")
    return value
