"""How a test steers an identity provider: the same names in the process and over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from warmtoken.testing.counters import Counters, TokenRequest
from warmtoken.testing.settings import AccessTokenFormat, OnBehalfOf, Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from warmtoken.testing.faults import Disconnect, Endpoint

T = TypeVar("T")


class Setting(Generic[T]):
    """An attribute that lives at the provider."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, holder: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, holder: Controls, owner: type) -> T: ...
    def __get__(self, holder: Controls | None, owner: type) -> Setting[T] | T:
        if holder is None:
            return self
        value: T = holder.execute("state", {})["settings"][self._name]
        return value

    def __set__(self, holder: Controls, value: T) -> None:
        holder.execute("set", {"name": self._name, "value": value})


class Controls(ABC):
    """Settings, commands and counters of an identity provider.

    Settings are plain attributes and hold from the next request on; lifetimes are in whole seconds, `token_delay` in
    seconds. A wrong type raises TypeError, a wrong value ValueError. Assign a new dict to change a setting that is one.
    """

    __slots__ = ()

    access_token_lifetime = Setting[int]()
    refresh_token_lifetime = Setting[int]()
    id_token_lifetime = Setting[int]()
    code_lifetime = Setting[int]()
    device_code_lifetime = Setting[int]()
    device_interval = Setting[int]()
    rotation = Setting[Rotation]()
    access_token_format = Setting[AccessTokenFormat]()
    on_behalf_of = Setting[OnBehalfOf]()
    refresh_in = Setting[int | None]()
    granted_scope = Setting[str | None]()
    omit_id_token = Setting[bool]()
    omit_refresh_token = Setting[bool]()
    omit_scope = Setting[bool]()
    allow_wider_scope = Setting[bool]()
    token_delay = Setting[float]()
    id_token_claims = Setting[dict[str, Any]]()
    authorization_response = Setting[dict[str, Any]]()

    @abstractmethod
    def execute(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out one command of the control endpoint; the methods below are the readable way to do it."""

    @property
    def counters(self) -> Counters:
        """What the provider was asked so far: a frozen snapshot."""
        return Counters(**self.execute("state", {})["counters"])

    @property
    def token_requests(self) -> list[TokenRequest]:
        """The last 10,000 requests to the token endpoint, oldest first, without secrets."""
        return [TokenRequest(**request) for request in self.execute("token_requests", {})]

    def reset_counters(self) -> None:
        """Start counting anew, and empty the log of token requests."""
        self.execute("reset_counters", {})

    def fail_next(
        self,
        endpoint: Endpoint,
        times: int = 1,
        *,
        status: int | None = None,
        body: str | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        disconnect: Disconnect | None = None,
    ) -> None:
        """Let the next `times` requests to an endpoint fail.

        With `status` the endpoint does no work and answers so: `body` is sent as JSON if it is a dict, as HTML if it is
        text. `disconnect="before"` hangs up without work; `"after"` does the work, then loses the answer. `delay`, in
        seconds, comes first, and alone is only a delay. Faults of one endpoint come in the order they were given.
        """
        fault = {"status": status, "body": body, "headers": dict(headers or {}), "delay": delay}
        arguments = {"endpoint": endpoint, "times": times, "disconnect": disconnect}
        self.execute("fail_next", arguments | fault)

    def clear_faults(self) -> None:
        """Forget the faults that have not happened yet."""
        self.execute("clear_faults", {})

    def revoke_user(self, username: str) -> int:
        """Revoke all that this user has signed in to; returns how many sign-ins that ended.

        Refresh tokens answer `invalid_grant` from then on; the user may sign in again.
        """
        ended: int = self.execute("revoke_user", {"username": username})
        return ended

    def revoke_refresh_tokens(self) -> int:
        """Revoke the refresh tokens of all users; returns how many sign-ins that ended."""
        ended: int = self.execute("revoke_refresh_tokens", {})
        return ended

    def add_client(self, client_id: str, secret: str | None = None, *, redirect_uris: Sequence[str] = ()) -> None:
        """Add a client: confidential with a secret, public without; loopback redirect URIs need not be named."""
        arguments = {"client_id": client_id, "secret": secret, "redirect_uris": list(redirect_uris)}
        self.execute("add_client", arguments)

    def set_user_claims(self, username: str, claims: Mapping[str, Any]) -> None:
        """Set claims of this user's id tokens, such as `oid` and `tid`; None takes a claim out."""
        self.execute("set_user_claims", {"username": username, "claims": dict(claims)})

    def approve_device(self, user_code: str, username: str) -> None:
        """Approve a device as this user would; raises ValueError for a code that does not wait (RFC 8628)."""
        self.execute("approve_device", {"user_code": user_code, "username": username})

    def deny_device(self, user_code: str) -> None:
        """Deny a device as its user would; raises ValueError for a code that does not wait (RFC 8628)."""
        self.execute("deny_device", {"user_code": user_code})

    def rotate_signing_key(self) -> None:
        """Sign with a new key from now on; the old ones stay in the JWKS."""
        self.execute("rotate_signing_key", {})


class IdentityProviderControl(Controls):
    """Steers a provider of another process by its issuer URL; pickles, so it can be handed to worker processes.

    Raises OSError when the provider does not answer.
    """

    __slots__ = ("issuer",)

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def __repr__(self) -> str:
        return f"IdentityProviderControl({self.issuer!r})"

    def execute(self, command: str, arguments: Mapping[str, Any]) -> Any:
        body = json.dumps({"command": command, "arguments": arguments}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.issuer}/control", body, headers)  # noqa: S310  the tester's own URL
        try:
            with _DIRECT.open(request, timeout=30) as reply:
                return json.load(reply)["result"]
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise _refusal(refusal.read()) from None

    def stop(self) -> None:
        """Ask the provider to stop; its process, if it was started by `python -m warmtoken.testing`, ends."""
        self.execute("stop", {})


def _refusal(body: bytes) -> Exception:
    try:
        content = json.loads(body)
        kind = TypeError if content["error"] == "TypeError" else ValueError
        return kind(content["error_description"])
    except (ValueError, KeyError, TypeError):
        return OSError("expected an identity provider of warmtoken.testing at this address; something else answered")


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever the proxy settings
