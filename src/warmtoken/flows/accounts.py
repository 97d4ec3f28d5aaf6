"""Lists, finds and removes accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warmtoken.cache.lookup_keys import Owner
from warmtoken.cache.records import AccountRecord
from warmtoken.errors import UiRequiredError
from warmtoken.flows.context import Context
from warmtoken.flows.effects import Call, Flow
from warmtoken.flows.family import family_of
from warmtoken.flows.freshness import is_usable
from warmtoken.flows.requests import check_text
from warmtoken.models import Account

if TYPE_CHECKING:
    from warmtoken.notices import TenantProfile


def list_accounts(context: Context, username: str | None) -> Flow[list[Account]]:
    """Return the users who are signed in to this client or its family, by username; that is compared without case.

    Listed is who has a refresh token (MSAL.NET's rule) or, which MSAL.NET leaves out, a usable access token: silent
    acquisition serves both. MSAL Python lists whoever signed in once, and offers users whom it cannot serve.
    """
    check_text("username", username)
    clouds = context.of_all_clouds()
    found: list[list[Account]] = yield Call(lambda: [_listed(cloud, username) for cloud in clouds])
    return _sorted(found)


def list_known_accounts(context: Context) -> Flow[list[Account]]:
    """Return the users who signed in to this client once, also those whose tokens are all spent."""
    clouds = context.of_all_clouds()
    return _sorted((yield Call(lambda: [_known(cloud, family_of(cloud), None) for cloud in clouds])))


def find_account(context: Context, home_account_id: str) -> Flow[Account | None]:
    """Return the user with this id if signed in, else None; Microsoft's ids are compared without case.

    Where two clouds know the id, the user is that of the application's own.
    """
    checked, clouds = _checked_id(home_account_id), context.of_all_clouds()
    found: list[list[Account]] = yield Call(lambda: [_with_id(cloud, checked) for cloud in clouds])
    return next((account for of_cloud in found for account in of_cloud), None)


def remove_account(context: Context, account: Account) -> Flow[None]:
    """Delete a user's tokens and account of this client, in all tenants and under all names of the authority.

    The refresh token of the client's family goes along: it would serve the user again. What the provider said of the
    client stays (MSAL.NET). An account of another issuer is none of this client's, whatever its id: nothing is deleted.
    """
    context = context.at(_checked_account(account).environment)
    owner = context.owner(account.home_account_id)
    if context.issues_for(account.environment):
        yield Call(lambda: context.vault.remove_account(owner, family_of(context)))


def remove_tokens_of_client(context: Context) -> Flow[None]:
    """Delete the client's own tokens, in all tenants (MSAL Python's remove_tokens_for_client)."""
    yield Call(lambda: context.vault.remove_access_tokens(context.owner(None)))


def list_tenant_profiles(context: Context, account: Account) -> Flow[list[TenantProfile]]:
    """Return what each tenant's id token of this client says of a user, the home tenant first."""
    from warmtoken.flows.tenant_profiles import profiles_of

    context = context.at(_checked_account(account).environment)
    owner = context.owner(account.home_account_id)
    if not context.issues_for(account.environment):
        return []
    found = yield Call(lambda: list(context.vault.id_tokens(owner)))
    return profiles_of(account, found, context.authority)


def account_with_hint(context: Context, login_hint: str, correlation_id: str | None) -> Flow[Account]:
    """Return the one account that a login hint names (MSAL.NET's rule), or raise UiRequiredError."""
    found = yield from list_accounts(context, login_hint)
    if len(found) == 1:
        return found[0]
    count, code = ("no account", "no_account_for_login_hint")
    if found:
        count, code = (f"{len(found)} accounts", "multiple_accounts_for_login_hint")
    raise UiRequiredError(
        code,
        f"expected one account whose username is the login hint, found {count}; sign in interactively",
        classification="acquire_token_silent_failed",
        correlation_id=correlation_id,
    )


def no_tokens_found(correlation_id: str | None) -> UiRequiredError:
    """Return the error for an account without a refresh token (MSAL's code)."""
    return UiRequiredError(
        "no_tokens_found",
        "expected a refresh token of this account in the cache, found none; sign in interactively",
        classification="acquire_token_silent_failed",
        correlation_id=correlation_id,
    )


def _checked_id(home_account_id: object) -> str:
    if not isinstance(home_account_id, str):
        raise TypeError(f"expected home_account_id to be a str, got {type(home_account_id).__name__}")
    return home_account_id


def _checked_account(account: object) -> Account:
    if not isinstance(account, Account):
        raise TypeError(f"expected account to be an Account, got {type(account).__name__}")
    return account


def _sorted(by_cloud: list[list[Account]]) -> list[Account]:
    accounts = (account for of_cloud in by_cloud for account in of_cloud)
    return sorted(accounts, key=lambda account: (account.username.casefold(), account.home_account_id))


def _listed(context: Context, username: str | None) -> list[Account]:
    family = family_of(context)
    return _signed_in(context, family, _known(context, family, username))


def _known(context: Context, family: str, username: str | None) -> list[Account]:
    found = _one_for_each_user(context, context.vault.accounts(context.owner(None), family))
    if username is None:
        return found
    return [account for account in found if account.username.casefold() == username.casefold()]


def _with_id(context: Context, home_account_id: str) -> list[Account]:
    family = family_of(context)
    records = context.vault.account(context.owner(home_account_id), family)
    return _signed_in(context, family, _one_for_each_user(context, records))


def _signed_in(context: Context, family: str, accounts: list[Account]) -> list[Account]:
    vault, now, margin = context.vault, context.now(), context.expiry_margin

    def can_be_served(owner: Owner) -> bool:
        # One look for most users; a look at the access tokens for those alone who have no refresh token.
        return (
            vault.has_refresh_token(owner)
            or (family != "" and vault.has_refresh_token(owner, family))
            or any(is_usable(token, now, margin) for token in vault.access_tokens(owner))
        )

    return [account for account in accounts if can_be_served(context.owner(account.home_account_id))]


def _one_for_each_user(context: Context, records: list[AccountRecord]) -> list[Account]:
    # A user has a record for each tenant that was signed in to; the home tenant's says most.
    by_user: dict[str, AccountRecord] = {}
    for record in records:
        user = context.owner(record.home_account_id).subject
        if user not in by_user or _is_home(record):
            by_user[user] = record
    return [listed_account(record, context.authority.environment) for record in by_user.values()]


def _is_home(record: AccountRecord) -> bool:
    return record.home_account_id.lower().endswith("." + record.realm.lower())


def listed_account(record: AccountRecord, environment: str) -> Account:
    """Return the account that a record stands for.

    With the host that the program configured, whichever alias the user signed in at (MSAL.NET).
    """
    return Account(
        record.home_account_id,
        environment,
        record.username,
        record.realm,
        record.local_account_id,
        record.name,
        record.account_source,
    )
