"""Asks for a token in threads that each run an event loop with tasks, whenever it is told to, and prints what they got.

Arguments: the issuer, the cache's directory, how many threads, how many tasks in each. Each line of standard input is a
JSON object: how many seconds ahead the clock is (`ahead`) and what to ask for (`wish`: "user" or "client"). Each answer
is one of how often each token came (hashed), each error, and each reason; before it, as soon as all
have got theirs, goes a line "answered".
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from isolated.support import KEY

from warmtoken import AuthenticationResult, ClientSecret, TokenCache
from warmtoken.aio import ConfidentialClientApplication, PublicClientApplication
from warmtoken.flows.async_driver import finish
from warmtoken.testing import Clock

SCOPES = ["orders.read", "orders.write"]
Answer = AuthenticationResult | BaseException


class Caller:
    """One thread's applications; a round of questions runs on an event loop of its own."""

    def __init__(self, issuer: str, cache: TokenCache) -> None:
        self.public = PublicClientApplication("cli", authority=issuer, cache=cache)
        secret = ClientSecret("service-secret")
        self.service = ConfidentialClientApplication("service", credential=secret, authority=issuer, cache=cache)

    def ask(self, wish: str, tasks: int, ready: threading.Barrier, answered: threading.Barrier) -> list[Answer]:
        ready.wait(60)
        return asyncio.run(self._ask(wish, tasks, answered))

    async def _ask(self, wish: str, tasks: int, answered: threading.Barrier) -> list[Answer]:
        account = (await self.public.get_accounts())[0] if wish == "user" else None

        async def one() -> AuthenticationResult:
            if account is None:
                return await self.service.acquire_token_for_client(SCOPES)
            return await self.public.acquire_token_silent(SCOPES, account)

        answers = await asyncio.gather(*(one() for _ in range(tasks)), return_exceptions=True)
        await asyncio.to_thread(answered.wait, 120)
        for app in (self.public, self.service):
            await finish(app._transport)
        return list(answers)


def summary(answers: list[Answer]) -> dict[str, dict[str, int]]:
    results = [answer for answer in answers if isinstance(answer, AuthenticationResult)]
    errors = [answer for answer in answers if not isinstance(answer, AuthenticationResult)]
    return {
        "tokens": Counter(sha256(result.access_token.encode()).hexdigest() for result in results),
        "errors": Counter(f"{type(error).__name__} {getattr(error, 'code', error)}" for error in errors),
        "reasons": Counter(
            f"{result.metadata.token_source}, {result.metadata.cache_refresh_reason}" for result in results
        ),
    }


def say_answered() -> None:
    print("answered", flush=True)


def main(issuer: str, directory: str, threads: int, tasks: int) -> None:
    clock = Clock()
    cache = TokenCache(Path(directory), key=KEY, clock=clock)
    callers = [Caller(issuer, cache) for _ in range(threads)]
    ahead = 0.0
    print("ready", flush=True)
    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            order = json.loads(line)
            clock.advance(order["ahead"] - ahead)
            ahead = order["ahead"]
            ready, answered = threading.Barrier(threads), threading.Barrier(threads, say_answered)
            rounds = [pool.submit(caller.ask, order["wish"], tasks, ready, answered) for caller in callers]
            print(json.dumps(summary([answer for future in rounds for answer in future.result()])), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
