"""A platform that gives a process a managed identity: its endpoint, its environment, the programs that run there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.managed_identity_endpoint import Answer, ManagedIdentityEndpoint
from support.world import Client, World

import warmtoken
import warmtoken.aio
from warmtoken import BackgroundRefresh, SystemAssignedManagedIdentity, TokenCache, WarmTokenError

VAULT = "https://vault.azure.net"
CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'
GUID = "0a1b2c3d-0000-4000-8000-00000000abcd"
RESOURCE_ID = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"


class Place:
    """A platform: its endpoint, its environment, and the programs that run there."""

    def __init__(self, world: World, endpoint: ManagedIdentityEndpoint, stack: contextlib.ExitStack) -> None:
        self.world = world
        self.endpoint = endpoint
        self.stack = stack

    def app(
        self,
        identity: Any = None,
        *,
        cache: TokenCache | None = None,
        client_capabilities: Sequence[str] = (),
        on_background_refresh: Callable[[BackgroundRefresh], object] | None = None,
    ) -> Client:
        module = warmtoken if self.world.mode == "sync" else warmtoken.aio
        application = module.ManagedIdentityApplication(
            identity or SystemAssignedManagedIdentity(),
            cache=cache or self.world.cache,
            client_capabilities=client_capabilities,
            on_background_refresh=on_background_refresh,
        )
        client = Client(application, self.world.run)
        self.stack.callback(client.close if self.world.mode == "sync" else client.aclose)
        return client

    def answers(self, *statuses: int, headers: dict[str, str] | None = None) -> None:
        """Let the endpoint answer so the next times, with nothing in the body."""
        self.endpoint.next_answers = [Answer(status, b"", headers or {}) for status in statuses]

    @property
    def asked(self) -> list[dict[str, str]]:
        """The parameters of the requests that the endpoint got."""
        return [dict(seen.asked) for seen in self.endpoint.seen]


def failed(call: Callable[[], object], kind: type[WarmTokenError] = WarmTokenError) -> Any:
    with pytest.raises(kind) as raised:
        call()
    return raised.value
