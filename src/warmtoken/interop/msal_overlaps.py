"""Access tokens that stand in for one another: of those in one slot the newer one that covers an older one's scopes."""

from __future__ import annotations

from warmtoken.interop.msal_reasons import Unfit

# The cache compares a new token with all that share a scope with it. No user has hundreds of them; a file made to
# keep the cache busy may.
MAX_OVERLAPPING = 512


class Overlaps:
    """Takes the access tokens of a file, the newest first."""

    def __init__(self) -> None:
        self._by_scope: dict[bytes, list[frozenset[bytes]]] = {}

    def add(self, partition: bytes, scopes: tuple[bytes, ...]) -> None:
        """Take a token with these hashes of scopes; raises Unfit where a newer one covers it, or too many overlap."""
        granted = frozenset(scopes)
        sharing = [self._by_scope.get(partition + scope, []) for scope in scopes]
        if sum(map(len, sharing)) > MAX_OVERLAPPING:
            raise Unfit("too_many")
        if any(granted <= newer for newer in (sharing[0] if sharing else ())):
            raise Unfit("duplicate")
        for scope in scopes:
            self._by_scope.setdefault(partition + scope, []).append(granted)
