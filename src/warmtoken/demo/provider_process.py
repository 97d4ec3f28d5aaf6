"""The identity provider in a process of its own, so that its work is not in anybody's figures."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Generator
from multiprocessing.connection import Connection

from warmtoken.demo.processes import end, ignore_interrupt, spawn
from warmtoken.demo.stage import LIFETIME
from warmtoken.errors import ClientError
from warmtoken.testing import IdentityProvider, IdentityProviderControl

START_SECONDS = 30


@contextlib.contextmanager
def identity_provider() -> Generator[IdentityProviderControl]:
    """Start a provider that rotates refresh tokens; ends it at the end."""
    ours, theirs = multiprocessing.Pipe()
    process = spawn("identity provider", _serve, theirs)
    try:
        theirs.close()
        yield IdentityProviderControl(_issuer(ours))
    finally:
        ours.close()
        end([process])


def _issuer(connection: Connection) -> str:
    with contextlib.suppress(EOFError):
        if connection.poll(START_SECONDS):
            issuer: str = connection.recv()
            return issuer
    raise ClientError("provider_not_started", "expected the identity provider to start, but it did not; see above")


def _serve(connection: Connection) -> None:
    ignore_interrupt()
    with IdentityProvider() as provider:
        provider.access_token_lifetime = LIFETIME
        provider.rotation = "always"
        connection.send(provider.issuer)
        with contextlib.suppress(EOFError, OSError):
            connection.recv()  # nothing is ever sent: this ends with the process that started us, however it ends
