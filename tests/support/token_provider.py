"""A program's own way to its tokens, and applications that use it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.world import KEY, Client, World

import warmtoken
import warmtoken.aio
from warmtoken import (
    AppTokenProvider,
    AppTokenProviderParameters,
    AppTokenProviderResult,
    BackgroundRefresh,
    ConfidentialClientApplication,
    TokenCache,
)

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

AUTHORITY = "https://login.microsoftonline.com/contoso.example"


class Vault:
    """A function that gives out another token each time; `error` is raised instead, and `answer` returned as it is."""

    def __init__(self) -> None:
        self.asked: list[AppTokenProviderParameters] = []
        self.expires_in: float = 3600
        self.refresh_in: float | None = None
        self.delay = 0.0
        self.hold: Callable[[], object] = lambda: None  # called before it answers
        self.error: BaseException | None = None
        self.answer: object = None

    def __call__(self, parameters: AppTokenProviderParameters) -> AppTokenProviderResult:
        self.asked.append(parameters)
        time.sleep(self.delay)
        self.hold()
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer  # type: ignore[return-value]
        return AppTokenProviderResult(f"token-{len(self.asked)}", self.expires_in, self.refresh_in)


def service(
    world: World,
    function: Callable[[AppTokenProviderParameters], Any],
    *,
    authority: str = AUTHORITY,
    cache: TokenCache | None = None,
    client_capabilities: Sequence[str] = (),
    on_background_refresh: Callable[[BackgroundRefresh], object] | None = None,
) -> Client:
    """An application of the world's kind; nothing that it sends would arrive at an authority."""
    module = warmtoken if world.mode == "sync" else warmtoken.aio
    application = module.ConfidentialClientApplication(
        "service",
        credential=AppTokenProvider(function),
        authority=authority,
        cache=cache or world.cache,
        transport=world.transport(),
        client_capabilities=client_capabilities,
        on_background_refresh=on_background_refresh,
    )
    return Client(application, world.run)


# --- for the test with processes ---


def ask_together(directory: Path, log: Path, barrier: Barrier, answers: Connection) -> None:
    """Ask at the moment when all processes are ready, and send the token and where it came from."""

    def function(_: AppTokenProviderParameters) -> AppTokenProviderResult:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.2)
        return AppTokenProviderResult(f"token-of-{os.getpid()}", 3600)

    cache = TokenCache(directory, key=KEY)
    with ConfidentialClientApplication(
        "service", credential=AppTokenProvider(function), authority=AUTHORITY, cache=cache
    ) as app:
        barrier.wait(60)
        result = app.acquire_token_for_client(["api/.default"])
        answers.send((result.access_token, result.metadata.token_source))
