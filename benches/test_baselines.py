"""The baselines do the job that they are timed at."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError

from benches.baselines import azure_identity, msal_extensions_cache, redis_json
from benches.baselines.cachetools_cache import CachetoolsCache
from benches.baselines.disk_cache import DiskCache
from benches.baselines.json_tokens import JsonTokens
from benches.baselines.lmdb_json import LmdbJsonCache
from benches.baselines.msal_extensions_cache import MsalExtensions
from benches.baselines.msal_python import MsalPython
from benches.baselines.pure_python import PurePythonCache
from benches.baselines.redis_json import RedisCache, RedisServer
from benches.baselines.sqlite_json import SqliteCache
from benches.competitors import CACHETOOLS, DISKCACHE, LMDB, PURE, REDIS, REDIS_SOCKET, SQLITE, save_in_msal
from benches.population import AUTHORITY, CLIENT_ID, ENVIRONMENT, MISSING, SCOPES, SUBSET, own_token, user
from warmtoken import Account

ALICE = Account("alice", ENVIRONMENT)
BOB = Account("bob", ENVIRONMENT)
MTIME_STEP = 0.02  # seconds, more than one step of the time of a file

Cache = PurePythonCache | JsonTokens

IN_MEMORY: dict[str, Callable[[str], PurePythonCache]] = {PURE: PurePythonCache, CACHETOOLS: CachetoolsCache}
IN_FILES: dict[str, Callable[[Path, str], JsonTokens]] = {
    LMDB: LmdbJsonCache,
    SQLITE: SqliteCache,
    DISKCACHE: DiskCache,
}
BY_SERVER = (REDIS, REDIS_SOCKET)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    if not redis_json.is_installed():
        pytest.skip(f"{redis_json.PROGRAM} is not installed")
    with tempfile.TemporaryDirectory() as directory, RedisServer(Path(directory)) as started:
        yield started


@pytest.fixture(params=[*IN_MEMORY, *IN_FILES, *BY_SERVER])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    with ExitStack() as stack:
        if request.param in IN_MEMORY:
            yield IN_MEMORY[request.param](CLIENT_ID)
        elif request.param in IN_FILES:
            yield stack.enter_context(IN_FILES[request.param](tmp_path, CLIENT_ID))
        else:
            server: RedisServer = request.getfixturevalue("server")
            client = server.over_tcp() if request.param == REDIS else server.over_socket()
            client.flushall()
            yield stack.enter_context(RedisCache(client, CLIENT_ID))


def save(cache: Cache, account: Account | None, *, lifetime: int, left: int) -> None:
    expires_on = int(time.time()) + left
    cache.save(
        tuple(SCOPES),
        account,
        access_token="the token",
        id_token=None,
        cached_at=expires_on - lifetime,
        expires_on=expires_on,
    )


def test_serves_the_scopes_in_any_order_to_their_account_only(cache: Cache) -> None:
    save(cache, ALICE, lifetime=3600, left=3600)
    found = cache.acquire_token_silent(SCOPES[::-1], ALICE)
    assert found is not None
    assert found.access_token == "the token"
    assert cache.acquire_token_silent(SUBSET, ALICE) is None
    assert cache.acquire_token_silent(SCOPES, BOB) is None
    assert cache.acquire_token_for_client(SCOPES) is None


def test_serves_the_client_itself_apart_from_users(cache: Cache) -> None:
    save(cache, None, lifetime=3600, left=3600)
    assert cache.acquire_token_for_client(SCOPES) is not None
    assert cache.acquire_token_silent(SCOPES, ALICE) is None


@pytest.mark.parametrize(
    ("lifetime", "left", "served"), [(3600, 310, True), (3600, 290, False), (600, 70, True), (600, 50, False)]
)
def test_keeps_the_margin_of_warmtoken(cache: Cache, lifetime: int, left: int, served: bool) -> None:
    save(cache, ALICE, lifetime=lifetime, left=left)
    assert (cache.acquire_token_silent(SCOPES, ALICE) is not None) is served


@pytest.mark.parametrize("name", IN_FILES)
def test_finds_in_the_file_what_another_object_stored(name: str, tmp_path: Path) -> None:
    with IN_FILES[name](tmp_path, CLIENT_ID) as first:
        save(first, ALICE, lifetime=3600, left=3600)
    with IN_FILES[name](tmp_path, CLIENT_ID) as second:
        found = second.acquire_token_silent(SCOPES, ALICE)
        assert found is not None
        assert found.access_token == "the token"


def test_azure_identity_asks_once_and_serves_its_token() -> None:
    transport = azure_identity.OneToken(AUTHORITY, "the token", 3600)
    credential = azure_identity.credential(CLIENT_ID, AUTHORITY, tuple(SCOPES), transport)
    assert credential.get_token(*SCOPES).token == "the token"
    assert transport.token_requests == 1
    with pytest.raises(ClientAuthenticationError, match="asks for it again"):
        credential.get_token(*MISSING)


def test_msal_extensions_serves_what_another_application_wrote(tmp_path: Path) -> None:
    now = int(time.time())
    first, second = user(1, now), user(2, now)
    filled = MsalPython(CLIENT_ID, AUTHORITY)
    save_in_msal(filled, first)
    msal_extensions_cache.write(tmp_path, filled)
    reader, writer = (MsalExtensions(CLIENT_ID, AUTHORITY, tmp_path) for _ in range(2))
    assert served(reader, first.account) == first.access_token
    assert served(reader, second.account) is None
    time.sleep(MTIME_STEP)
    save_in_msal(writer, second)
    assert served(reader, first.account) == first.access_token
    assert served(reader, second.account) == second.access_token


def served(msal: MsalPython, account: Account) -> str | None:
    known = [each for each in msal.public.get_accounts() if each["home_account_id"] == account.home_account_id]
    result = msal.public.acquire_token_silent(SCOPES, known[0]) if known else None
    return result["access_token"] if result else None


def test_msal_with_many_tokens_finds_each_of_them() -> None:
    now = int(time.time())
    tokens = [own_token(number, now) for number in range(3)]
    msal = MsalPython(CLIENT_ID, AUTHORITY)
    for entry in tokens:
        msal.save_for_client(entry.scopes, access_token=entry.access_token, lifetime=3600)
    for entry in tokens:
        result = msal.confidential.acquire_token_for_client(list(entry.scopes))
        assert result["access_token"] == entry.access_token
        assert len(msal.find_access_tokens([entry.scopes[0]], None)) == 1
    assert msal.find_access_tokens(MISSING, None) == []
