"""The recommended pattern: silently if that is possible, else by asking the user."""

from __future__ import annotations

from dataclasses import replace

from warmtoken.errors import ClientError, UiRequiredError
from warmtoken.flows.accounts import list_accounts, list_known_accounts
from warmtoken.flows.context import Context
from warmtoken.flows.effects import Flow
from warmtoken.flows.requests import DeviceCodeRequest, InteractiveRequest, TokenRequest
from warmtoken.flows.silent import acquire_silent
from warmtoken.models import Account, AuthenticationResult


def check_fallback(fallback: object, on_user_code: object) -> None:
    """Refuse another fallback than there is, and that on another device with nothing to show its code."""
    if fallback not in ("interactive", "device_code"):
        raise ValueError(f'expected fallback to be "interactive" or "device_code", got {fallback!r}')
    if fallback == "device_code" and on_user_code is None:
        raise ValueError('expected on_user_code with fallback="device_code", a function that shows the code; got None')


def acquire(
    context: Context, request: TokenRequest, ask: InteractiveRequest | DeviceCodeRequest
) -> Flow[AuthenticationResult]:
    """Try the request for its account, or for the one that is signed in; where only the user can help, ask."""
    account = request.account if request.account is not None else (yield from _the_account(context))
    try:
        return (yield from acquire_silent(context, replace(request, account=account)))
    except UiRequiredError as error:
        needed = error
    ask = replace(ask, claims=needed.claims, correlation_id=needed.correlation_id, account=request.account)
    return (yield from _ask_user(context, ask, account))


def _ask_user(
    context: Context, ask: InteractiveRequest | DeviceCodeRequest, account: Account | None
) -> Flow[AuthenticationResult]:
    if isinstance(ask, DeviceCodeRequest):
        from warmtoken.flows.device_code import acquire_by_device_code

        # The answer to a device code names no cloud: who is known to be of another one is asked there.
        there = context.at(account.environment) if account else context
        return (yield from acquire_by_device_code(there, ask))
    from warmtoken.flows.authorization_code import acquire_interactive

    hint = account.username or None if account else None
    return (yield from acquire_interactive(context, replace(ask, login_hint=hint)))


def _the_account(context: Context) -> Flow[Account | None]:
    # Where nobody is signed in any more, the one who was is asked to sign in again.
    accounts = (yield from list_accounts(context, None)) or (yield from list_known_accounts(context))
    if len(accounts) > 1:
        raise ClientError(
            "multiple_accounts",
            f"expected one signed-in account, found {len(accounts)}; pass account=, one of get_accounts()",
        )
    return accounts[0] if accounts else None
