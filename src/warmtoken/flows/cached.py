"""The shortest way to a token that is in the file: what the silent flow finds, without the flow."""

from __future__ import annotations

from time import perf_counter

from warmtoken.flows.context import Context, Remember
from warmtoken.flows.freshness import MARGIN, served_until
from warmtoken.flows.results import serve
from warmtoken.models import Account, AuthenticationResult
from warmtoken.protocol.scopes import settled_scopes


def find_cached(context: Context, account: Account, keep: Remember) -> AuthenticationResult | None:
    """Return a usable token of the account from the file; None where the flow has to see to it.

    Raises what the flow raises for arguments that cannot be.
    """
    since = perf_counter()
    cache = context.cache
    # An open file can be read at once. All else may block, or is a case for the flow.
    if not cache.is_open or type(account) is not Account or not context.issues_for(account.environment):
        return None
    scopes = settled_scopes(tuple(keep.scopes))
    authority = context.request_authority(account.home_account_id, keep.variant)
    vault, now, margin = cache.vault(), context.now(), context.expiry_margin
    if vault.needs_heal:
        return None
    slot = context.slot(account.home_account_id, authority)
    found = vault.find_access_token(slot, scopes, now + (MARGIN if margin is None else margin))
    until = served_until(found, now, margin) if found is not None else 0.0
    if found is None or not until:
        return None
    return serve(found, account, (perf_counter() - since) * 1000, None, keep, until)
