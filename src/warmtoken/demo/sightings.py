"""Which access tokens were seen in use, and which of them expired: counted without a word from the provider."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise

from warmtoken.demo.stage import MARGIN


@dataclass(frozen=True, slots=True)
class Sighting:
    """One access token in use: `first_seen` and `expires_on` are in Unix seconds."""

    expires_on: int
    first_seen: float


@dataclass(slots=True)
class Sightings:
    """The distinct access tokens that were seen, by a hash: tokens themselves are not passed around."""

    tokens: dict[bytes, Sighting] = field(default_factory=dict[bytes, Sighting])
    from_sign_ins: set[bytes] = field(default_factory=set[bytes])

    def see(self, access_token: str, expires_on: int, now: float) -> None:
        """Note that a token was handed out."""
        self._note(_hash(access_token), Sighting(expires_on, now))

    def see_sign_in(self, access_token: str, expires_on: int, now: float) -> None:
        """Note a token that a sign-in brought."""
        self.see(access_token, expires_on, now)
        self.from_sign_ins.add(_hash(access_token))

    def merge(self, other: Sightings) -> None:
        """Take in what somebody else saw."""
        for token, sighting in other.tokens.items():
            self._note(token, sighting)
        self.from_sign_ins |= other.from_sign_ins

    def expiries(self) -> int:
        """Return how many tokens were in use until they expired and then succeeded by another without a sign-in.

        A token that came before its predecessor had expired succeeds none: where two processes refresh at the same
        expiry, that is one expiry and two refreshes.
        """
        seen = sorted(self.tokens.items(), key=lambda item: item[1].first_seen)
        return sum(
            token not in self.from_sign_ins and now.first_seen >= before.expires_on - MARGIN
            for (_, before), (token, now) in pairwise(seen)
        )

    def _note(self, token: bytes, sighting: Sighting) -> None:
        known = self.tokens.get(token, sighting)
        self.tokens[token] = replace(known, first_seen=min(known.first_seen, sighting.first_seen))


def _hash(access_token: str) -> bytes:
    return blake2b(access_token.encode(), digest_size=16).digest()
