"""Refreshes a token before it runs out, when the provider said so (`refresh_in`), while the cached one is served."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from warmtoken.errors import WarmTokenError
from warmtoken.flows.effects import Background, Flow, call_program
from warmtoken.flows.freshness import PAUSE
from warmtoken.flows.single_flight import Fetch, fetch_if_idle
from warmtoken.flows.throttling import is_throttled
from warmtoken.models import AuthenticationResult
from warmtoken.notices import BackgroundRefresh

if TYPE_CHECKING:
    from warmtoken._engine import CachedToken
    from warmtoken.flows.context import Context
    from warmtoken.flows.search import Acquire, Search


def keep_fresh(
    search: Search, found: CachedToken, key: Callable[[], bytes], acquire: Acquire[AuthenticationResult | None]
) -> Flow[None]:
    """Start the refresh of a found token that is due, unless this process has tried it within 30 s.

    `key` and `acquire` are those of `search.find_or_fetch`.
    """
    context = search.context
    shared = context.vault.shared
    fetched = key()
    if is_throttled(context, search.slot, search.scopes):
        return
    if shared.attempts.begin((fetched, search.slot, found.target), context.cache.clock.monotonic(), PAUSE):
        yield Background(_refresh(search.forced(), found, fetched, acquire))


def _refresh(
    search: Search, found: CachedToken, key: bytes, acquire: Acquire[AuthenticationResult | None]
) -> Flow[None]:
    def look() -> AuthenticationResult | None:
        return search.look_again(found)

    need = ("in the background", search.slot, search.scopes)
    wanted = Fetch(key, need, look, lambda: acquire(search, "proactively_refreshed", look))
    account, vault = search.account, search.context.vault
    try:
        result = yield from fetch_if_idle(vault, wanted)
    except Exception as error:  # noqa: BLE001 (nobody is there to catch it)
        vault.background_failures += 1
        yield from _tell(search.context, BackgroundRefresh(search.request.asked, account, None, error))
        return
    # None: somebody else is at it, or there is nothing to refresh with; then the token is used up, and the user asked.
    if result is not None and result.metadata.token_source == "identity_provider":
        vault.background_refreshes += 1
        yield from _tell(search.context, BackgroundRefresh(search.request.asked, account, result.metadata))


def _tell(context: Context, outcome: BackgroundRefresh) -> Flow[None]:
    import logging

    logger = logging.getLogger("warmtoken")
    if context.on_background_refresh is None:
        # A program that ends starts no threads any more (CPython 3.12), and need not hear of what nobody misses.
        if outcome.error is not None and threading.main_thread().is_alive():
            logger.warning("a token could not be refreshed in the background: %s", _words_of(outcome.error))
        return
    try:
        yield from call_program(partial(context.on_background_refresh, outcome))
    except Exception:
        logger.exception("on_background_refresh raised an exception")


def _words_of(error: Exception) -> str:
    # What a program's own transport or callable raises may hold anything.
    return str(error) if isinstance(error, WarmTokenError) else type(error).__name__
