"""Redeems a refresh token (RFC 6749, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from warmtoken.cache.best_effort import write_or_log
from warmtoken.cache.kept_tokens import replace_dead
from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.cache.vault import CachedRefreshToken, Replacing
from warmtoken.errors import ServiceError, UiRequiredError
from warmtoken.flows.context import Context, Stopwatch, open_cache
from warmtoken.flows.effects import Call, Detach, Flow
from warmtoken.flows.family import family_of, is_stranger, note_stranger
from warmtoken.flows.metadata import provider_metadata
from warmtoken.flows.replies import Asked, take_in
from warmtoken.flows.requests import TokenRequest, new_correlation_id
from warmtoken.flows.sending import send
from warmtoken.flows.throttling import refuse_again
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.authority import Authority
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.entra_headers import mailbox_of
from warmtoken.protocol.scopes import RESERVED, lookup_scopes
from warmtoken.protocol.token_reply import parse_token_reply
from warmtoken.protocol.token_request import refresh_request, secrets_of, session_refresh_request
from warmtoken.texts import is_unicode


@dataclass(frozen=True, slots=True)
class Renewal:
    """A user's token to be had by the refresh token in the cache, and why.

    `look` returns the token where it is in the cache by now. `family_id` says whose refresh token: that of the family
    of clients, or the client's own (""). `account` is None where a session's provider never said who the user is.
    """

    account: Account | None
    authority: Authority
    slot: Slot
    request: TokenRequest
    reason: CacheRefreshReason
    watch: Stopwatch
    look: Callable[[], AuthenticationResult | None]
    family_id: str = ""

    def refresh_token(self, context: Context) -> CachedRefreshToken | None:
        """Return the refresh token that is in the cache now."""
        return context.vault.find_refresh_token(self.slot.owner, self.family_id)


def renew(context: Context, renewal: Renewal) -> Flow[AuthenticationResult | None]:
    """Redeem the account's refresh token; the caller sees to it that nobody else does at the same time.

    Returns None where there is none, or the client does not belong to the family whose it is. Raises UiRequiredError
    where the provider takes it no more.
    """
    yield Call(context.vault.save_unsaved)
    found = renewal.refresh_token(context)
    # A sign-in takes no lock: one that came since the last look brought an access token too. The refresh token was
    # read before this look, so it is not that of a sign-in that this look misses.
    # (Whoever forces a refresh must not get what was fetched before the call, but could only be saved just now.)
    signed_in = None if renewal.request.force_refresh else renewal.look()
    if signed_in is not None:
        return signed_in
    if found is None or (renewal.family_id and not family_of(context)):
        return None
    try:
        return (yield from _redeem(context, renewal, found))
    except ServiceError as error:
        if not renewal.family_id or not is_stranger(error):
            raise
        yield from note_stranger(context, renewal.slot.owner)
        return None
    except UiRequiredError as error:
        yield from open_cache(context)  # after a request it may be time to look at the file again
        newer = renewal.refresh_token(context)
        if newer is not None and newer.record.secret != found.record.secret:  # a sign-in replaced it while we asked
            return renewal.look() or (yield from _redeem(context, renewal, newer))
        if _is_dead(error, renewal.authority) and (yield from _forget(context, renewal.slot.owner, found)):
            return (yield from renew(context, renewal))
        raise


def _forget(context: Context, owner: Owner, dead: CachedRefreshToken) -> Flow[bool]:
    # Tells whether one that was kept beside the dead token has taken its place (MSAL Python tries all it has).
    failure = "a dead refresh token could not be deleted"
    replaced: bool | None = yield Call(partial(write_or_log, lambda: replace_dead(context.vault, owner, dead), failure))
    return bool(replaced)


def _is_dead(error: UiRequiredError, authority: Authority) -> bool:
    # Entra also says invalid_grant when this request needs more of the user; the token may serve another one.
    if error.code != "invalid_grant" or error.claims is not None:
        return False
    return not authority.speaks_entra or error.suberror in {"bad_token", "token_expired"}


def _redeem(context: Context, renewal: Renewal, found: CachedRefreshToken) -> Flow[AuthenticationResult]:
    request, secret = renewal.request, found.record.secret
    key = context.vault.keys.refused(renewal.slot, lookup_scopes(request.asked), request.claims, secret)
    # A dead token is deleted: nobody can send it again.
    is_dead = partial(_is_dead, authority=renewal.authority)
    return (yield from refuse_again(context, key, partial(_exchange, context, renewal, found), is_dead))


def _exchange(context: Context, renewal: Renewal, found: CachedRefreshToken) -> Flow[AuthenticationResult]:
    asked = Asking(
        renewal.authority,
        renewal.request.asked,
        renewal.request.claims,
        new_correlation_id(renewal.request.correlation_id),
        renewal.watch,
        renewal.reason,
        renewal.account,
        Replacing(found),
        found.record.target,
        renewal.request.client_claims,
        renewal.slot.extended_key,
        renewal.slot.owner.session,
    )
    try:
        return (yield from redeem(context, found.record.secret, asked))
    except ServiceError as error:
        if error.error == "invalid_scope" and not renewal.authority.speaks_entra:
            raise _more_consent(error) from None
        raise


def _with_reserved(asked: tuple[str, ...], granted: str) -> tuple[str, ...]:
    # Without `profile` the new id token would say less of the user than the one that it replaces.
    reserved = (scope for scope in granted.split() if scope.casefold() in RESERVED)
    return tuple(dict.fromkeys((*asked, *reserved)))


def _more_consent(error: ServiceError) -> UiRequiredError:
    # RFC 6749, section 6: a refresh may ask only for what the user has granted; a sign-in may ask for more.
    description = f" ({error.error_description})" if error.error_description else ""
    return UiRequiredError(
        "invalid_scope",
        "expected the user's grant to cover the scopes, the identity provider says that it does not"
        f"{description}; sign in interactively with these scopes",
        classification="consent_required",
        error_description=error.error_description,
        correlation_id=error.correlation_id,
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """What to redeem a refresh token for.

    `account` is None where the token came from another library; `granted` is what it stands for, as far as is known.
    `claims` is a challenge, `client_claims` what the client asks for itself, with its `extended_key`. `session` is the
    key of the one that the tokens belong to, "" for the user's own.
    """

    authority: Authority
    scopes: tuple[str, ...]
    claims: str | None
    correlation_id: str
    watch: Stopwatch
    reason: CacheRefreshReason = "not_applicable"
    account: Account | None = None
    replacing: Replacing | None = None
    granted: str = ""
    client_claims: str | None = None
    extended_key: str = ""
    session: str = ""


def import_refresh_token(context: Context, refresh_token: str, request: TokenRequest) -> Flow[AuthenticationResult]:
    """Redeem a refresh token that another library got, and keep what it brings."""
    _check_refresh_token(refresh_token)
    asking = Asking(context.authority, request.asked, None, new_correlation_id(request.correlation_id), Stopwatch())
    result: AuthenticationResult = yield Detach(redeem(context, refresh_token, asking))
    return result


def _check_refresh_token(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"expected refresh_token to be a str, got {type(value).__name__}")
    if not value:
        raise ValueError("expected refresh_token to have something in it, got an empty str")
    if not is_unicode(value):
        raise ValueError("expected refresh_token to be text that UTF-8 can encode, got a lone surrogate")
    if not value.isprintable():  # RFC 6749, appendix A.17
        raise ValueError("expected refresh_token without control characters, such as a line break at its end")


def redeem(context: Context, refresh_token: str, asking: Asking) -> Flow[AuthenticationResult]:
    """Send one refresh request and take its reply in."""
    yield from open_cache(context)
    vault = context.vault
    metadata = yield from provider_metadata(context, asking.authority, asking.watch)
    sent_at = context.now()
    make_request = partial(
        session_refresh_request if asking.session else refresh_request,
        context.request(asking.authority, metadata, asking.correlation_id, mailbox_of(asking.account)),
        refresh_token,
        _with_reserved(asking.scopes, asking.granted),
        claims=merge_claims(asking.claims, context.client_capabilities, asking.client_claims),
    )
    request, response = yield from send(make_request, asking.watch)
    reply = parse_token_reply(response, correlation_id=asking.correlation_id, secrets=secrets_of(request))
    asked = Asked(
        asking.authority,
        metadata,
        asking.scopes,
        asking.correlation_id,
        sent_at,
        asking.watch,
        asking.reason,
        asking.account,
        source="refresh_token" if asking.account is None else asking.account.account_source,
        replacing=asking.replacing,
        imported=refresh_token if asking.account is None else None,
        extended_key=asking.extended_key,
        session=asking.session,
        vault=vault,
    )
    return (yield from take_in(context, asked, reply))
