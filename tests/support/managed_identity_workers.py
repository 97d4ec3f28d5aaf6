"""What the process test of managed identities runs in other processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from support.managed_identity import VAULT
from support.world import KEY

from warmtoken import ManagedIdentityApplication, TokenCache

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier


def ask_together(directory: Path, barrier: Barrier, answers: Connection) -> None:
    """Ask at the moment when all processes are ready, and send the token and where it came from."""
    with ManagedIdentityApplication(cache=TokenCache(directory, key=KEY)) as app:
        barrier.wait(60)
        result = app.acquire_token_for_managed_identity(VAULT)
        answers.send((result.access_token, result.metadata.token_source))
