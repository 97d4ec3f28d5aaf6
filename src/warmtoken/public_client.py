"""What a program on its user's device can do: sign its user in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from warmtoken.cache.token_cache import TokenCache
from warmtoken.core import (
    DEFAULT_AUTHORITY,
    AccountsT,
    AccountT,
    AuthCodeFlowT,
    ClientApplication,
    NothingT,
    ProfilesT,
    TokenT,
    TransportT,
    keep_in,
    unchanging,
)
from warmtoken.models import Account

if TYPE_CHECKING:
    from warmtoken.notices import BackgroundRefresh, DeviceCode


class PublicClient(ClientApplication[TokenT, AccountsT, AccountT, NothingT, ProfilesT, AuthCodeFlowT, TransportT]):
    """A program on its user's device: it cannot keep a secret, and its user signs in with a browser.

    `authority` is a URL: Microsoft Entra hosts get Entra's rules, any other issuer is discovered (OpenID Connect
    Discovery 1.0). `cache` None is the user's own shared cache. `transport` None is httpx2.
    `client_capabilities` say that the program can handle claims challenges: ["cp1"] (docs/errors.md). `expiry_margin`
    is in seconds; None is 300, but at most a tenth of a token's lifetime. `redirect_path` is the path of the redirect
    URI that the client has registered on 127.0.0.1 (any port); None is "/", and http://localhost at Microsoft Entra.
    `on_background_refresh` gets a BackgroundRefresh after each refresh made ahead of time, as the provider wants it
    (`refresh_in`); it runs in another thread, a coroutine function on the loop, and what it raises is logged. None:
    failures are logged.
    `multi_cloud` True, at a Microsoft Entra authority alone: each user signs in to the cloud of the user's account, and
    is served there (MSAL.NET's WithMultiCloudSupport); the client must be registered in each of these clouds.
    `partition` is the name of a part of the cache: applications see what those with the same name have brought, and
    nothing of any other (docs/partitions.md). `parameters` go along with each request to the provider, such as
    {"audience": "https://api.example"} (docs/providers.md); they are part of the partition.
    Making one costs no request. Raises TypeError and ValueError for arguments that cannot be.
    """

    def __init__(
        self,
        client_id: str,
        *,
        authority: str = DEFAULT_AUTHORITY,
        cache: TokenCache | None = None,
        transport: TransportT | None = None,
        client_capabilities: Sequence[str] = (),
        expiry_margin: float | None = None,
        redirect_path: str | None = None,
        on_background_refresh: Callable[[BackgroundRefresh], object] | None = None,
        multi_cloud: bool = False,
        partition: str = "",
        parameters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        super().__init__(client_id, None, authority, cache, client_capabilities, expiry_margin, on_background_refresh)
        self._redirect_to(redirect_path)
        self._serve_clouds(multi_cloud)
        self._keep_apart(partition, parameters)
        self._use(transport)

    def _redirect_to(self, path: str | None) -> None:
        if path is not None and not isinstance(path, str):
            raise TypeError(f"expected redirect_path to be a str or None, got {type(path).__name__}")
        if path and (not path.startswith("/") or not path.isascii() or set(path) & set("?# \\")):
            raise ValueError(f'expected redirect_path to be a path such as "/callback", got {path!r}')
        self._context.redirect_path = path

    def _serve_clouds(self, multi_cloud: bool) -> None:
        if not isinstance(multi_cloud, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"expected multi_cloud to be a bool, got {type(multi_cloud).__name__}")
        if multi_cloud and self._context.authority.kind != "entra":
            raise ValueError(
                f"expected a Microsoft Entra authority with multi_cloud=True, got {self._context.authority.url}"
            )
        self._context.multi_cloud = multi_cloud

    def acquire_token_interactive(
        self,
        scopes: Iterable[str],
        *,
        login_hint: str | None = None,
        prompt: str | None = None,
        claims: str | None = None,
        open_browser: Callable[[str], object] | None = None,
        timeout: float = 300,
        correlation_id: str | None = None,
    ) -> TokenT:
        """Sign the user in with the browser and return an access token (RFC 8252, RFC 7636).

        `open_browser` gets the URL, and is called as `on_user_code` of acquire_token_by_device_code is; None is the
        system browser. `timeout` is in seconds. Raises ClientError where nobody comes back in time
        (`authentication_timeout`), the user refuses (`access_denied`) or there is no browser (`no_browser`),
        UiRequiredError where `prompt="none"` does not do, and ServiceError, ProtocolError, TransportError and
        CacheError as `acquire_token_silent` does.
        """
        from warmtoken.flows.authorization_code import acquire_interactive
        from warmtoken.flows.requests import InteractiveRequest

        request = InteractiveRequest(scopes, open_browser, login_hint, prompt, claims, timeout, correlation_id)
        token: TokenT = self._run(acquire_interactive(self._context, request))
        return token

    def acquire_token_by_device_code(
        self,
        scopes: Iterable[str],
        *,
        on_user_code: Callable[[DeviceCode], object],
        claims: str | None = None,
        timeout: float | None = None,
        correlation_id: str | None = None,
    ) -> TokenT:
        """Sign the user in on another device, where they enter a code, and return an access token (RFC 8628).

        `on_user_code` gets a DeviceCode to show, and may block: under asyncio a plain function runs in a thread, and a
        coroutine function is awaited. `timeout` is in seconds, None for as long as the code lasts. Raises ClientError
        where nobody enters the code in time (`authentication_timeout`), the user refuses (`access_denied`) or the
        provider has no such flow (`device_code_not_supported`), ServiceError, ProtocolError and TransportError where
        the provider fails.
        """
        from warmtoken.flows.device_code import acquire_by_device_code
        from warmtoken.flows.requests import DeviceCodeRequest

        request = DeviceCodeRequest(scopes, on_user_code, claims, timeout, correlation_id)
        token: TokenT = self._run(acquire_by_device_code(self._context, request))
        return token

    def acquire_token(
        self,
        scopes: Iterable[str],
        account: Account | None = None,
        *,
        fallback: Literal["interactive", "device_code"] = "interactive",
        open_browser: Callable[[str], object] | None = None,
        on_user_code: Callable[[DeviceCode], object] | None = None,
        timeout: float = 300,
    ) -> TokenT:
        """Return an access token, silently if that is possible, else by asking the user: the pattern in one call.

        `account` None is the one that is signed in; where there are several, ClientError (`multiple_accounts`) asks
        to pass one. `fallback` says how the user is asked: with the browser, or on another device with
        `on_user_code`. Raises what acquire_token_interactive or acquire_token_by_device_code raise, and CacheError.
        """
        if fallback != "interactive":
            from warmtoken.flows.recommended import check_fallback

            check_fallback(fallback, on_user_code)
        hit = self.hit(scopes, account)
        if hit is not None:
            return hit
        from warmtoken.flows.recommended import acquire
        from warmtoken.flows.requests import DeviceCodeRequest, InteractiveRequest, TokenRequest

        scopes = unchanging(scopes)
        request = TokenRequest(scopes, account, remember=keep_in(self._view_of_users, scopes, None, None))
        ask: InteractiveRequest | DeviceCodeRequest
        if fallback == "device_code" and on_user_code is not None:
            ask = DeviceCodeRequest(request.asked, on_user_code, timeout=timeout)
        else:
            ask = InteractiveRequest(request.asked, open_browser, timeout=timeout)
        token: TokenT = self._run(acquire(self._context, request, ask))
        return token
