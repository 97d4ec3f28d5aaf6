"""What is in the caches: in the suite 2,000 users of one client with a token each and its own token, or a crowd."""

from __future__ import annotations

import base64
import json
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from warmtoken import Account

USERS = 2_000
LIFETIME = 3600  # seconds
AGES = 300  # seconds over which the tokens of a crowd were issued
CROWD_LIFETIME = 86_400  # seconds, so that none expires while a large cache is filled and measured

TENANT = str(uuid.UUID(int=0x7E))
CLIENT_ID = str(uuid.UUID(int=0xC1))
ENVIRONMENT = "login.microsoftonline.com"
AUTHORITY = f"https://{ENVIRONMENT}/{TENANT}"

SCOPES = ["User.Read", "Mail.Read", "Calendars.Read"]
SUBSET = ["Mail.Read"]
MISSING = ["Files.ReadWrite.All"]
OWN_SCOPES = ["https://graph.microsoft.com/.default"]

SIGNATURE = 256  # bytes, as of RS256
PERMISSIONS = 60  # in an access token, which makes it 2 KB long


@dataclass(frozen=True, slots=True)
class Entry:
    """One token as it is put into the caches; `account` None is the client itself."""

    account: Account | None
    scopes: tuple[str, ...]
    access_token: str
    id_token: str | None
    cached_at: int
    expires_on: int


@dataclass(frozen=True, slots=True)
class UserEntry(Entry):
    """A user's token."""

    account: Account
    id_token: str


@dataclass(frozen=True, slots=True)
class Population:
    """The entries; `own` is the client's own."""

    users: list[UserEntry]
    own: Entry

    @property
    def middle(self) -> UserEntry:
        """The user who was added half-way, so that a search that walks over all costs what it does on average."""
        return self.users[len(self.users) // 2]

    def spread(self, count: int) -> list[UserEntry]:
        """Return `count` users, evenly over the order in which they were added."""
        step = len(self.users) / count
        return [self.users[int((i + 0.5) * step)] for i in range(count)]


def populate() -> Population:
    """Return the same users at each call, with tokens that have just been issued."""
    source = random.Random(20)
    now = int(time.time())
    return Population([_user(i, source, now) for i in range(USERS)], _own(source, now))


def user(number: int, now: int) -> UserEntry:
    """Return one user of a crowd that is too large to be kept; the same at each call, with a token issued lately."""
    issued = now - number % AGES
    return replace(_user(number, random.Random(number), issued), expires_on=issued + CROWD_LIFETIME)


def own_token(number: int, now: int) -> Entry:
    """Return one of many tokens of the client itself, each for two scopes of another API."""
    source, issued = random.Random(number), now - number % AGES
    scopes = (f"https://api{number}.example.test/Read", f"https://api{number}.example.test/Write")
    return replace(_own(source, issued), scopes=scopes, expires_on=issued + CROWD_LIFETIME)


def _user(number: int, source: random.Random, now: int) -> UserEntry:
    oid = str(uuid.UUID(int=source.getrandbits(128)))
    username = f"user{number}@example.test"
    account = Account(f"{oid}.{TENANT}", ENVIRONMENT, username, TENANT, oid, f"User {number}", "authorization_code")
    claims = {"iss": f"{AUTHORITY}/v2.0", "sub": oid, "oid": oid, "tid": TENANT, "exp": now + LIFETIME}
    id_token = _jwt({**claims, "aud": CLIENT_ID, "preferred_username": username, "name": account.name}, source)
    return UserEntry(account, tuple(SCOPES), _access_token(claims, source), id_token, now, now + LIFETIME)


def _own(source: random.Random, now: int) -> Entry:
    claims = {"iss": f"{AUTHORITY}/v2.0", "sub": CLIENT_ID, "tid": TENANT, "exp": now + LIFETIME}
    return Entry(None, tuple(OWN_SCOPES), _access_token(claims, source), None, now, now + LIFETIME)


def _access_token(claims: Mapping[str, object], source: random.Random) -> str:
    return _jwt({**claims, "roles": [f"permission.{i:03}" for i in range(PERMISSIONS)]}, source)


def _jwt(claims: Mapping[str, object], source: random.Random) -> str:
    header = json.dumps({"typ": "JWT", "alg": "RS256", "kid": "benches"}).encode()
    parts = (header, json.dumps(claims).encode(), source.randbytes(SIGNATURE))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
