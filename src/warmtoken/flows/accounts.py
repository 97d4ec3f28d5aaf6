"""Lists, finds and removes accounts."""

from __future__ import annotations

from warmtoken.cache.records import AccountRecord
from warmtoken.errors import UiRequiredError
from warmtoken.flows.context import Context
from warmtoken.flows.effects import Call, Flow
from warmtoken.flows.requests import check_text
from warmtoken.models import Account


def list_accounts(context: Context, username: str | None) -> Flow[list[Account]]:
    """Return the users who signed in to this client, by username; `username` is compared without case."""
    check_text("username", username)
    found = _one_for_each_user((yield Call(lambda: context.vault.accounts(context.owner(None)))))
    if username is not None:
        found = [account for account in found if account.username.casefold() == username.casefold()]
    return sorted(found, key=lambda account: (account.username.casefold(), account.home_account_id))


def find_account(context: Context, home_account_id: str) -> Flow[Account | None]:
    """Return the user with this id, or None."""
    if not isinstance(home_account_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected home_account_id to be a str, got {type(home_account_id).__name__}")
    owner = context.owner(home_account_id)
    found = _one_for_each_user((yield Call(lambda: context.vault.account(owner))))
    return found[0] if found else None


def remove_account(context: Context, account: Account) -> Flow[None]:
    """Delete a user's tokens and account of this client."""
    if not isinstance(account, Account):
        raise TypeError(f"expected account to be an Account, got {type(account).__name__}")
    owner = context.owner(account.home_account_id)
    yield Call(lambda: context.vault.remove_account(owner))


def account_with_hint(context: Context, login_hint: str) -> Flow[Account]:
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
    )


def no_tokens_found(correlation_id: str | None) -> UiRequiredError:
    """Return the error for an account without a refresh token (MSAL's code)."""
    return UiRequiredError(
        "no_tokens_found",
        "expected a refresh token of this account in the cache, found none; sign in interactively",
        classification="acquire_token_silent_failed",
        correlation_id=correlation_id,
    )


def _one_for_each_user(records: list[AccountRecord]) -> list[Account]:
    # A user has a record for each tenant that was signed in to; the home tenant's says most.
    by_user: dict[str, AccountRecord] = {}
    for record in records:
        user = record.home_account_id.lower()
        if user not in by_user or _is_home(record):
            by_user[user] = record
    return [_account(record) for record in by_user.values()]


def _is_home(record: AccountRecord) -> bool:
    return record.home_account_id.lower().endswith("." + record.realm.lower())


def _account(record: AccountRecord) -> Account:
    return Account(
        record.home_account_id,
        record.environment,
        record.username,
        record.realm,
        record.local_account_id,
        record.name,
        record.account_source,
    )
