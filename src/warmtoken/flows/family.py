"""Refresh tokens of a family: one sign-in serves all public clients that Microsoft Entra has put into it (FOCI).

Follows MSAL.NET: a client that belongs to the family, or of which nobody knows, tries the family's token first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from warmtoken.cache.best_effort import write_or_log
from warmtoken.cache.lookup_keys import FAMILY, Owner
from warmtoken.cache.records import AppRecord
from warmtoken.errors import ServiceError
from warmtoken.flows.context import Context
from warmtoken.flows.effects import Call, Flow

if TYPE_CHECKING:
    from warmtoken.protocol.token_reply import TokenReply


def may_belong(context: Context) -> bool:
    """Tell whether the application is of a kind that can belong to a family: public, at Microsoft Entra."""
    return context.authority.kind == "entra" and context.client.credential is None


def family_of(context: Context) -> str:
    """Return the family that the client belongs to, for all that is known, "" where it belongs to none."""
    if not may_belong(context):
        return ""
    app = context.vault.app(context.owner(None))
    return FAMILY if app is None or app.family_id == FAMILY else ""


def family_to_try(context: Context, owner: Owner) -> str:
    """Return the family whose refresh token of this user the client may send, "" where there is none."""
    if not may_belong(context) or not context.vault.has_refresh_token(owner, FAMILY):
        return ""
    return family_of(context)


def is_stranger(error: ServiceError) -> bool:
    """Tell whether a refusal says that the client does not belong to the family whose token it sent."""
    return error.error == "invalid_grant" and error.suberror == "client_mismatch"


def note_stranger(context: Context, owner: Owner) -> Flow[None]:
    """Remember for all processes that the client belongs to no family."""
    app = AppRecord(owner.client_id, context.authority.environment)
    failure = "what was learnt of the client could not be stored"
    yield Call(partial(write_or_log, lambda: context.vault.save_app(owner, app), failure))


def app_of(context: Context, reply: TokenReply) -> AppRecord | None:
    """Return what a reply says about the client's family, None where it says nothing."""
    # Whether a refresh token is the family's says `foci` beside it; without a new one there is nothing to say.
    if not may_belong(context) or not (reply.family_id or reply.refresh_token):
        return None
    family = FAMILY if reply.family_id == FAMILY else ""
    return AppRecord(context.client.client_id, context.authority.environment, family)
