"""What an id token must say before it is believed (OpenID Connect Core 1.0, section 3.1.3.7)."""

from __future__ import annotations

import hmac
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from warmtoken.errors import ProtocolError
from warmtoken.protocol.json_object import parse_base64url_object

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_LEEWAY = 300
TENANT_PLACE = "{tenantid}"

WRONG_CLOCK = frozenset({"id_token_expired", "id_token_issued_in_future", "id_token_not_yet_valid"})  # codes
_ALGORITHM = re.compile(r"(?:RS|PS|ES|HS)(?:256|384|512)|ES256K|EdDSA|Ed25519|Ed448")
_TENANT = re.compile(r"[A-Za-z0-9.-]{1,253}")


def check_id_token(
    id_token: str,
    *,
    issuer: str,
    client_id: str,
    now: float,
    nonce: str | None,
    signed_in_since: float | None = None,
    leeway: int = DEFAULT_LEEWAY,
) -> dict[str, Any]:
    """Return the claims of an id token that came from the token endpoint.

    The signature is not checked: the token came straight from the provider over TLS (section 3.1.3.7, item 6).
    `issuer` may hold Entra's `{tenantid}`; `now` is in Unix seconds, `leeway` in seconds; `nonce` is the sign-in's,
    None where there was none; `signed_in_since` (Unix seconds) is when the user must have signed in at the earliest,
    None where that does not matter. Raises ProtocolError with a code for each check; no message shows a claim's value.
    """
    claims = _decode(id_token)
    check = _Check(claims, client_id, now, leeway)
    check.subject()
    check.issuer(issuer)
    check.audience()
    check.times()
    if nonce is not None:
        check.nonce(nonce)
    if signed_in_since is not None:
        check.signed_in_since(signed_in_since)
    return claims


def same_subject(old: Mapping[str, Any] | str, new: Mapping[str, Any]) -> bool:
    """Tell whether a refreshed id token is about the user of the old one (OpenID Connect Core 1.0, section 12.2).

    `old` is the old claims, of which `iss` counts as well, or the user's `sub` alone.
    """
    if isinstance(old, str):
        return bool(old) and new.get("sub") == old
    return bool(old.get("sub")) and all(old.get(name) == new.get(name) for name in ("sub", "iss"))


@dataclass(frozen=True, slots=True)
class _Check:
    claims: dict[str, Any]
    client_id: str
    now: float
    leeway: int

    def subject(self) -> None:
        if not _is_text(self.claims.get("sub")):
            _refuse("subject_missing", "a sub claim")

    def issuer(self, expected: str) -> None:
        if TENANT_PLACE in expected:
            tenant = self.claims.get("tid")
            if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
                _refuse("tenant_missing", "a tid claim, since the issuer is Microsoft Entra")
            expected = expected.replace(TENANT_PLACE, tenant)
        if self.claims.get("iss") != expected:
            _refuse("issuer_mismatch", f"iss {expected}")

    def audience(self) -> None:
        audience = self.claims.get("aud")
        named = cast("list[object]", audience) if isinstance(audience, list) else [audience]
        if self.client_id not in named:
            _refuse("audience_mismatch", "an aud claim with this client's id")
        authorized = self.claims.get("azp")
        if authorized != self.client_id and (authorized is not None or len(named) > 1):
            _refuse("authorized_party_mismatch", "an azp claim that is this client's id")

    def times(self) -> None:
        if self._time("exp") + self.leeway <= self.now:
            _refuse("expired", "an exp claim in the future; check this machine's clock")
        if self._time("iat") - self.leeway > self.now:
            _refuse("issued_in_future", "an iat claim in the past; check this machine's clock")
        if self.claims.get("nbf") is not None and self._time("nbf") - self.leeway > self.now:
            _refuse("not_yet_valid", "an nbf claim in the past; check this machine's clock")

    def nonce(self, expected: str) -> None:
        nonce = self.claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.encode()):
            _refuse("nonce_mismatch", "the nonce of this sign-in; it may be a replay: sign in again")

    def signed_in_since(self, earliest: float) -> None:
        if self._time("auth_time") + self.leeway < earliest:  # section 3.1.2.1: max_age makes it required
            _refuse("auth_time_too_old", "a sign-in as recent as max_age says (auth_time); sign in again")

    def _time(self, name: str) -> float:
        value = self.claims.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            _refuse(f"{name}_invalid", f"an {name} claim as a number of seconds")
        return value


def _decode(id_token: str) -> dict[str, Any]:
    parts = id_token.split(".")
    if len(parts) != 3:
        _refuse("invalid", "three parts")
    try:
        header, claims = parse_base64url_object(parts[0]), parse_base64url_object(parts[1])
    except ValueError:
        _refuse("invalid", "a JWT with two JSON objects inside")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or not _ALGORITHM.fullmatch(algorithm):
        _refuse("algorithm_refused", "a signed token (alg), never none")
    return claims


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _refuse(code: str, expected: str) -> NoReturn:
    raise ProtocolError(f"id_token_{code}", f"the id token was refused: expected {expected}, got another one or none")
