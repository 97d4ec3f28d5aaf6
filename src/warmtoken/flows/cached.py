"""The shortest way to a token that is in the file: what the silent flow finds, without the flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from warmtoken import _engine
from warmtoken.flows.context import Context
from warmtoken.flows.freshness import MARGIN, served_until
from warmtoken.models import Account, AuthenticationResult
from warmtoken.protocol.scopes import settled_scopes

if TYPE_CHECKING:
    from warmtoken.cache.vault import Vault


def find_cached(
    context: Context,
    vault: Vault,
    scopes: Sequence[str],
    account: Account,
    tenant_id: str | None,
    view: Callable[[], _engine.View],
) -> AuthenticationResult | None:
    """Return a usable token of the account from the file, and keep one like it in memory; None is a case for the flow.

    `view` opens the application's window on what is kept. Raises what the flow raises for arguments that cannot be.
    """
    since = perf_counter()
    if type(account) is not Account or not context.issues_for(account.environment) or vault.needs_heal:
        return None
    user, margin, now = account.home_account_id, context.expiry_margin, context.now()
    realm = context.request_authority(user, tenant_id).tenant
    plain = context.plain_request(vault, realm, settled_scopes(tuple(scopes)))
    found = vault.find_users_token(plain, user, now + (MARGIN if margin is None else margin))
    until = served_until(found, now, margin) if found is not None else 0.0
    if found is None or not until:
        return None
    view().remember_token(scopes, account, tenant_id, found, int(until * 1000))
    return _engine.cached_result(found, account, "store", (perf_counter() - since) * 1000, None)
