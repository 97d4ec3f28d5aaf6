"""A web application, for WSGI and for ASGI servers, that gets a token of the signed-in user for each request.

`/?ahead=3600` is asked an hour later; what it answers is JSON.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from support import KEY, UnhurriedHits

import warmtoken.aio
from warmtoken import AuthenticationResult, PublicClientApplication, TokenCache, _engine
from warmtoken.testing import Clock

SCOPES = ["orders.read", "orders.write"]
STATE = Path(os.environ["SERVER_STATE"])  # a directory: which process is at work, for the test to see

TIME = STATE.with_suffix(".time")  # how far all clocks are ahead: that of a new process must not be behind


def _pass_time(ahead: float) -> None:
    global passed
    with clock_lock:
        if ahead <= passed:
            return
        clock.advance(ahead - passed)
        passed = ahead
        mine = TIME.with_suffix(f".{os.getpid()}")
        mine.write_text(str(ahead))
        mine.replace(TIME)


_engine.Hits = UnhurriedHits  # type: ignore[misc]
clock = Clock()
clock_lock = threading.Lock()
passed = 0.0
if TIME.exists():
    _pass_time(float(TIME.read_text()))
cache = TokenCache(os.environ["SERVER_CACHE"], key=KEY, clock=clock)
app = PublicClientApplication("cli", authority=os.environ["SERVER_ISSUER"], cache=cache)
async_app = warmtoken.aio.PublicClientApplication("cli", authority=os.environ["SERVER_ISSUER"], cache=cache)
# Opened and used at import: in a parent that loads the application, that is before it forks.
[account] = app.get_accounts()
# The first call refreshes where the token has expired and no other process has seen to it yet.
levels = [app.acquire_token_silent(SCOPES, account).metadata.cache_level for _ in range(4)]
assert levels[2:] == ["L1", "L1"], levels
opened_in = os.getpid()


def be_busy() -> None:
    pause = threading.Event()
    while threading.main_thread().is_alive():
        for _ in range(20):
            app.get_accounts()  # not a token: the clock here stands still
        pause.wait(0.001)


if "SERVER_BUSY" in os.environ:
    threading.Thread(target=be_busy, daemon=True).start()


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    answer = acquire(_ahead(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    assert scope["type"] == "http", scope["type"]
    with _at_work(_ahead(scope["query_string"].decode())):
        result = await async_app.acquire_token_silent(SCOPES, account)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(_described(result)).encode()})


def acquire(ahead: float) -> dict[str, Any]:
    """Return the token of a time so many seconds ahead, and where it was asked for and the cache opened."""
    with _at_work(ahead):
        return _described(app.acquire_token_silent(SCOPES, account))


@contextmanager
def _at_work(ahead: float) -> Iterator[None]:
    _pass_time(ahead)
    mark = STATE / f"{os.getpid()}-{threading.get_ident()}"
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _ahead(query: str) -> float:
    return float(parse_qs(query).get("ahead", ["0"])[0])


def _described(result: AuthenticationResult) -> dict[str, Any]:
    return {"token": result.access_token, "worker": os.getpid(), "opened_in": opened_in}
