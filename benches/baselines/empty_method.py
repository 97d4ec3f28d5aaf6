"""The least that any call costs: a bound method with the same arguments that does nothing at all."""

from __future__ import annotations

from collections.abc import Iterable


class EmptyMethods:
    """Stands for an application that does nothing."""

    def acquire_token_silent(self, scopes: Iterable[str], account: object = None) -> object:
        """Return the account as it is."""
        return account

    def acquire_token_for_client(self, scopes: Iterable[str]) -> object:
        """Return the scopes as they are."""
        return scopes
