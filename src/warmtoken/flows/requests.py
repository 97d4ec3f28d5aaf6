"""What a program asked for, checked and settled, as the flows take it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from warmtoken.cache.extended_key import CLIENT_CLAIMS, FMI_PATH, extended_key
from warmtoken.flows.context import Remember
from warmtoken.models import Account
from warmtoken.notices import DeviceCode
from warmtoken.protocol.authority import split_url
from warmtoken.protocol.claims import canonical_claims
from warmtoken.protocol.scopes import check_scopes
from warmtoken.protocol.user_assertion import check_assertion
from warmtoken.texts import is_unicode

LONGEST_WAIT = 1_000_000_000  # seconds, thirty years: what is much longer overflows where times are counted

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token without the user; `min_validity` is in seconds.

    `claims` is an API's challenge, `client_claims` what the client asks for of its own accord; `extended_key` is what
    a cached token must have in common with the request besides. `refresh_if_sha256` is the SHA-256 (in hexadecimal)
    of an access token that must not be served again; `fmi_path` says whose credential the client's own token is to be.
    Raises TypeError and ValueError where an argument is of the wrong type or out of range, ClientError where
    `client_claims` is no JSON object.
    """

    scopes: Iterable[str]
    account: Account | None = None
    login_hint: str | None = None
    tenant_id: str | None = None
    force_refresh: bool = False
    claims: str | None = None
    min_validity: float | None = None
    correlation_id: str | None = None
    remember: Remember | None = None
    client_claims: str | None = None
    refresh_if_sha256: str | None = None
    fmi_path: str | None = None
    asked: tuple[str, ...] = field(init=False)
    extended_key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", check_scopes(self.scopes))
        if not isinstance(self.scopes, tuple):
            object.__setattr__(self, "scopes", self.asked)  # an iterator has been used up, and a list may be changed
        if self.account is not None and not isinstance(self.account, Account):
            raise TypeError(f"expected account to be an Account or None, got {type(self.account).__name__}")
        check_text("login_hint", self.login_hint)
        check_text("tenant_id", self.tenant_id)
        check_text("claims", self.claims)
        check_text("client_claims", self.client_claims)
        check_correlation_id(self.correlation_id)
        check_seconds("min_validity", self.min_validity)
        check_flag("force_refresh", self.force_refresh)
        _check_hash(self.refresh_if_sha256, self.force_refresh)
        check_text("fmi_path", self.fmi_path)
        object.__setattr__(self, "extended_key", _extended_key(self.client_claims, self.fmi_path))

    @property
    def bypasses_cache(self) -> bool:
        """Whether no cached access token must be served; client capabilities alone do not matter (MSAL.NET)."""
        return self.force_refresh or (self.claims is not None and self.refresh_if_sha256 is None)

    def refuses(self, access_token: str) -> bool:
        """Tell whether this access token must not be served, since an API has refused it."""
        if self.refresh_if_sha256 is None:
            return False
        from hashlib import sha256

        return sha256(access_token.encode()).hexdigest() == self.refresh_if_sha256.lower()


def _extended_key(client_claims: str | None, fmi_path: str | None) -> str:
    canonical = canonical_claims(client_claims) if client_claims is not None else ""
    components = {CLIENT_CLAIMS: canonical, FMI_PATH: fmi_path}
    return extended_key({name: text for name, text in components.items() if text})


def _check_hash(value: str | None, force_refresh: bool) -> None:
    check_text("refresh_if_sha256", value)
    if value is None:
        return
    if not _SHA256.fullmatch(value):
        raise ValueError("expected refresh_if_sha256 to be 64 hexadecimal digits, the SHA-256 of an access token")
    if force_refresh:
        raise ValueError("expected refresh_if_sha256 or force_refresh, got both; force_refresh alone fetches always")


@dataclass(frozen=True, slots=True)
class FederatedCredentialRequest:
    """A request for a user's tokens by a federated identity credential, `assertion`, in place of the user's sign-in.

    Either `username` or `user_object_id` names the user. Raises TypeError and ValueError where an argument is of the
    wrong type or out of range; no message shows the credential.
    """

    scopes: Iterable[str]
    assertion: str = field(repr=False)
    username: str | None = None
    user_object_id: str | None = None
    tenant_id: str | None = None
    claims: str | None = None
    correlation_id: str | None = None
    asked: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", check_scopes(self.scopes))
        check_assertion("assertion", self.assertion)
        for name in ("username", "user_object_id"):
            check_text(name, getattr(self, name))
        if (self.username is None) == (self.user_object_id is None):
            given = "none" if self.username is None else "both"
            raise ValueError(f"expected either username or user_object_id, got {given}")
        check_text("tenant_id", self.tenant_id)
        check_text("claims", self.claims)
        check_correlation_id(self.correlation_id)

    @property
    def user(self) -> dict[str, str]:
        """The field of the request that names the user."""
        return {"username": self.username} if self.username else {"user_id": self.user_object_id or ""}


@dataclass(frozen=True, slots=True)
class InteractiveRequest:
    """A request for a token with the user's help; `open_browser` gets the URL (None: the system's).

    `timeout` is in seconds. `account` is the user who must sign in, None for any.
    """

    scopes: Iterable[str]
    open_browser: Callable[[str], object] | None = None
    login_hint: str | None = None
    prompt: str | None = None
    claims: str | None = None
    timeout: float = 300.0
    correlation_id: str | None = None
    account: Account | None = None
    asked: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", check_scopes(self.scopes))
        if self.open_browser is not None:
            check_function("open_browser", self.open_browser)
        check_text("login_hint", self.login_hint)
        check_text("prompt", self.prompt)
        check_text("claims", self.claims)
        check_correlation_id(self.correlation_id)
        check_seconds("timeout", self.timeout)


@dataclass(frozen=True, slots=True)
class DeviceCodeRequest:
    """A request for a token of a user who signs in on another device; `on_user_code` shows what to do there.

    `timeout` is in seconds, None for as long as the code lasts. `account` is the user who must sign in, None for any.
    """

    scopes: Iterable[str]
    on_user_code: Callable[[DeviceCode], object]
    claims: str | None = None
    timeout: float | None = None
    correlation_id: str | None = None
    account: Account | None = None
    asked: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", check_scopes(self.scopes))
        check_function("on_user_code", self.on_user_code)
        check_text("claims", self.claims)
        check_correlation_id(self.correlation_id)
        check_seconds("timeout", self.timeout)


@dataclass(frozen=True, slots=True)
class AuthCodeRequest:
    """A request for a user's sign-in at a web site; `redirect_uri` is where the browser brings the user back to.

    `max_age` is in seconds. Raises TypeError and ValueError where an argument is of the wrong type or out of range.
    """

    scopes: Iterable[str]
    redirect_uri: str
    login_hint: str | None = None
    domain_hint: str | None = None
    prompt: str | None = None
    claims: str | None = None
    max_age: int | None = None
    response_mode: str | None = None
    correlation_id: str | None = None
    asked: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "asked", check_scopes(self.scopes))
        split_url(self.redirect_uri, "redirect_uri")
        for name in ("login_hint", "domain_hint", "prompt", "claims"):
            check_text(name, getattr(self, name))
        check_correlation_id(self.correlation_id)
        _check_max_age(self.max_age)
        # A fragment never reaches the web site's server (OAuth 2.0 Multiple Response Type Encoding, section 2.1).
        if self.response_mode not in (None, "query", "form_post"):
            raise ValueError(f'expected response_mode to be "query", "form_post" or None, got {self.response_mode!r}')


def _check_max_age(value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"expected max_age to be a whole number of seconds or None, got {type(value).__name__}")
    check_seconds("max_age", value)


def new_correlation_id(given: str | None) -> str:
    """Return the caller's correlation id, or a new one."""
    if given is not None:
        return given
    import uuid

    return str(uuid.uuid4())


def check_text(name: str, value: object) -> None:
    """Refuse what is neither None nor a str with something in it that can be sent."""
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"expected {name} to be a str or None, got {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"expected {name} to have something in it, got an empty or blank str; leave it out instead")
    if not is_unicode(value):
        raise ValueError(f"expected {name} to be text that UTF-8 can encode, got a lone surrogate")


def check_function(name: str, value: object) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise TypeError(f"expected {name} to be callable, got {type(value).__name__}")


def check_flag(name: str, value: object) -> None:
    """Refuse a text, such as "false" out of a setting, which would count as true."""
    if value and isinstance(value, str):
        raise TypeError(f"expected {name} to be a bool, got {type(value).__name__}")


def check_correlation_id(value: str | None) -> None:
    """Refuse what cannot stand in a header; before others wait for the same request."""
    check_text("correlation_id", value)
    if value is not None and not (value.isascii() and value.isprintable() and value == value.strip()):
        raise ValueError("expected correlation_id to be printable ASCII without blanks at its ends, such as a UUID")


def check_seconds(name: str, value: object) -> None:
    """Refuse what is neither None nor a number of seconds from 0 to LONGEST_WAIT."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected {name} to be a number of seconds or None, got {type(value).__name__}")
    if not 0 <= value <= LONGEST_WAIT:
        raise ValueError(f"expected {name} to be a number of seconds from 0 to {LONGEST_WAIT:,}, got {value}")
