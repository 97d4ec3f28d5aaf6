"""The cache that a careful programmer writes in pure Python: a dict, a lock, an expiry check, for one process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

from warmtoken.default_transport import DefaultTransport
from warmtoken.demo.stage import CLIENT_ID, LIFETIME, MARGIN, SCOPES, SeparateLoad
from warmtoken.errors import ServiceError
from warmtoken.models import Account
from warmtoken.transport import HttpRequest, HttpResponse

FORM = {"content-type": "application/x-www-form-urlencoded"}


class DictToken(NamedTuple):
    """An access token; times are in Unix seconds."""

    access_token: str
    expires_on: int
    usable_until: float


class DictCache:
    """Tokens of one process by account and scopes, refreshed one at a time; meant to be as quick as Python allows."""

    def __init__(self, order: SeparateLoad, transport: DefaultTransport) -> None:
        self._order = order
        self._transport = transport
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        key = (order.account.home_account_id, frozenset(SCOPES))
        self._tokens = {key: _token(order.access_token, order.expires_on)}

    def acquire_token_silent(self, scopes: Iterable[str], account: Account) -> DictToken:
        """Return the account's token from the dict, else by the refresh token."""
        key = (account.home_account_id, frozenset(scopes))
        with self._lock:
            token = self._tokens.get(key)
        if token is not None and time.time() < token.usable_until:
            return token
        return self._refresh(key)

    def _refresh(self, key: tuple[str, frozenset[str]]) -> DictToken:
        with self._refreshing:
            token = self._tokens.get(key)
            if token is not None and time.time() < token.usable_until:
                return token
            token = self._fetch(key[1])
            with self._lock:
                self._tokens[key] = token
            return token

    def _fetch(self, scopes: frozenset[str]) -> DictToken:
        sent_at = int(time.time())
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._order.refresh_token,
            "client_id": CLIENT_ID,
            "scope": " ".join(sorted(scopes)),
        }
        reply = post_form(self._transport, self._order.token_endpoint, form)
        return _token(str(reply["access_token"]), sent_at + LIFETIME)


def post_form(transport: DefaultTransport, url: str, form: dict[str, str]) -> dict[str, object]:
    """Post a form and return the JSON object of the reply; raises ServiceError where the status is not 200."""
    response = transport.send(HttpRequest("POST", url, FORM, urlencode(form).encode()), timeout=30)
    if response.status != 200:
        raise _refused(response)
    reply: dict[str, object] = json.loads(response.body)
    return reply


def _refused(response: HttpResponse) -> ServiceError:
    message = f"expected the provider to answer 200, got {response.status}"
    return ServiceError("unexpected_status", message, status=response.status)


def _token(access_token: str, expires_on: int) -> DictToken:
    return DictToken(access_token, expires_on, expires_on - MARGIN)
