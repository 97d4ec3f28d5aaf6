"""What Microsoft Entra is told beside a request: which library asks, and where the user's data lie (MSAL's headers)."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmtoken.models import Account

SKU = "warmtoken"
CAPABILITIES = "retry-after, h429"  # this library waits where Entra says so, also with 429


def entra_headers(mailbox: str) -> dict[str, str]:
    """Return the headers of a request to Entra; `mailbox` is what `mailbox_of` or `mailbox_of_hint` return, or ""."""
    anchor = {"x-anchormailbox": mailbox} if mailbox else {}
    return {
        "x-client-sku": SKU,
        "x-client-ver": _version(),
        "x-client-os": sys.platform,
        "x-ms-lib-capability": CAPABILITIES,
        **anchor,
    }


def mailbox_of(account: Account | None) -> str:
    """Return the name by which Entra routes a user's request to where their data are, "" where there is none."""
    uid, dot, utid = account.home_account_id.rpartition(".") if account else ("", "", "")
    return mailbox_of_object(uid, utid) if dot else ""


def mailbox_of_object(object_id: str, tenant_id: str) -> str:
    """Return the same for a user of whom the object id in a tenant is known."""
    return _safe(f"oid:{object_id}@{tenant_id}")


def mailbox_of_hint(login_hint: str | None) -> str:
    """Return the same for a user of whom only the user name is known."""
    return _safe(f"upn:{login_hint}") if login_hint else ""


def _safe(value: str) -> str:
    # It is a hint: rather none than one that could end the header. With blanks at its ends it could not be sent
    # (RFC 9110, section 5.5).
    return value.strip() if value.isascii() and value.isprintable() else ""


@cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("warmtoken")
    except PackageNotFoundError:
        return "0"
