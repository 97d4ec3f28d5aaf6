"""Nothing in warmtoken.aio blocks the event loop, and a hit costs one coroutine and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from isolated.support import HERE, environment
from support.managed_identity_endpoint import VARIABLES, serving_identities
from support.web_site import landing
from support.world import ALICE, KEY, SCOPES, World, held_replies, new_world

from warmtoken import Account, ClientAssertion, DeviceCode, ServiceError, TokenCache, UiRequiredError
from warmtoken.aio import ConfidentialClientApplication, ManagedIdentityApplication, PublicClientApplication
from warmtoken.cache import token_cache
from warmtoken.cache.shared_store import SharedStore
from warmtoken.protocol import azure_arc
from warmtoken.testing import UserAgent

pytestmark = pytest.mark.usefixtures("unhurried")
Method = Callable[[Any, Account], Coroutine[Any, Any, Any]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("async", tmp_path) as made:
        yield made


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the engine was asked to do on a thread whose event loop runs, of all that goes to the disk."""
    seen: list[str] = []

    def watch(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def watched(*arguments: Any) -> Any:
            if asyncio._get_running_loop() is not None:
                seen.append(name)
            return function(*arguments)

        monkeypatch.setattr(owner, name, watched)

    watch(SharedStore, "commit")
    for name in ("shared_store", "open_keyring", "resolve_key"):
        watch(token_cache, name)
    return seen


def enter_code(code: DeviceCode) -> None:
    UserAgent(ALICE, background=False)(code.verification_uri_complete or "")


async def sign_in_at_a_web_site(app: Any) -> None:
    page = contextlib.ExitStack()
    site = await asyncio.to_thread(page.enter_context, landing())
    try:
        flow = await app.initiate_auth_code_flow(SCOPES, site.redirect_uri)
        brought = await asyncio.to_thread(site.visit, flow["auth_uri"])
        await app.acquire_token_by_auth_code_flow(flow, brought)
    finally:
        await asyncio.to_thread(page.close)


PUBLIC: dict[str, Method] = {
    "acquire_token_silent": lambda app, account: app.acquire_token_silent(SCOPES, account),
    "acquire_token_silent of fewer scopes": lambda app, account: app.acquire_token_silent(SCOPES[:1], account),
    "acquire_token_silent by a hint": lambda app, _: app.acquire_token_silent(SCOPES, login_hint=ALICE),
    "acquire_token_silent with a refresh": lambda app, account: app.acquire_token_silent(
        SCOPES, account, force_refresh=True
    ),
    "acquire_token_silent for nobody": lambda app, account: app.acquire_token_silent(
        SCOPES, Account("nobody", account.environment)
    ),
    "acquire_token": lambda app, account: app.acquire_token(SCOPES, account),
    "acquire_token_interactive": lambda app, _: app.acquire_token_interactive(SCOPES, open_browser=UserAgent(ALICE)),
    "acquire_token_by_device_code": lambda app, _: app.acquire_token_by_device_code(SCOPES, on_user_code=enter_code),
    "acquire_token_by_refresh_token": lambda app, _: app.acquire_token_by_refresh_token("rt-unknown", SCOPES),
    "initiate_auth_code_flow": lambda app, _: app.initiate_auth_code_flow(SCOPES, "https://site.example/callback"),
    "acquire_token_by_auth_code_flow": lambda app, _: sign_in_at_a_web_site(app),
    "get_accounts": lambda app, _: app.get_accounts(),
    "get_account": lambda app, account: app.get_account(account.home_account_id),
    "get_tenant_profiles": lambda app, account: app.get_tenant_profiles(account),
    "remove_account": lambda app, account: app.remove_account(account),
    "aclose": lambda app, _: app.aclose(),
}
CONFIDENTIAL: dict[str, Method] = {
    "remove_tokens_for_client": lambda app, _: app.remove_tokens_for_client(),
    "acquire_token_for_client": lambda app, _: app.acquire_token_for_client(["api/.default"]),
    "acquire_token_by_user_federated_identity_credential": lambda app, _: (
        app.acquire_token_by_user_federated_identity_credential(SCOPES, "assertion", username=ALICE)
    ),
    "acquire_token_for_client anew": lambda app, _: app.acquire_token_for_client(["api/.default"], force_refresh=True),
}
# What takes the token that an API was called with; a session "job" has been begun.
ON_BEHALF: dict[str, Callable[[Any, str], Coroutine[Any, Any, Any]]] = {
    "acquire_token_on_behalf_of": lambda app, token: app.acquire_token_on_behalf_of(token, SCOPES),
    "acquire_token_on_behalf_of anew": lambda app, token: app.acquire_token_on_behalf_of(
        token, SCOPES, force_refresh=True
    ),
    "initiate_long_running_on_behalf_of": lambda app, token: app.initiate_long_running_on_behalf_of(token, SCOPES),
    "initiate_long_running_on_behalf_of of one under way": lambda app, token: app.initiate_long_running_on_behalf_of(
        token, SCOPES, session_key="job", search_in_cache=True
    ),
    "acquire_token_in_long_running_on_behalf_of": lambda app, _: app.acquire_token_in_long_running_on_behalf_of(
        "job", SCOPES
    ),
    "acquire_token_in_long_running_on_behalf_of anew": lambda app, _: app.acquire_token_in_long_running_on_behalf_of(
        "job", SCOPES, force_refresh=True
    ),
    "stop_long_running_on_behalf_of": lambda app, _: app.stop_long_running_on_behalf_of("job"),
}


def test_every_method_is_among_those_that_are_tried() -> None:
    def methods(kind: type) -> set[str]:
        found = inspect.getmembers(kind, lambda member: callable(member) and not isinstance(member, type))
        return {name for name, _ in found if not name.startswith("_") and name not in {"hit"}}

    tried = {name.split()[0] for name in PUBLIC}
    assert methods(PublicClientApplication) == tried
    assert methods(ConfidentialClientApplication) - tried == {name.split()[0] for name in (*CONFIDENTIAL, *ON_BEHALF)}


@pytest.mark.parametrize("is_first_use", [True, False], ids=["first use", "warm"])
@pytest.mark.parametrize("name", [*PUBLIC, *CONFIDENTIAL])
def test_no_method_blocks_the_loop(world: World, on_the_loop: list[str], name: str, is_first_use: bool) -> None:
    """World.run lets nothing block that the standard library calls; commits, openings and keys are watched here."""
    account = world.sign_in(world.public()).account
    app = world.public() if name in PUBLIC else world.confidential()
    method = PUBLIC.get(name) or CONFIDENTIAL[name]
    if is_first_use:
        app.application._context.cache = TokenCache(world.directory, key=lambda: KEY, clock=world.clock)
    for _ in range(1 if is_first_use else 3):
        # Of nobody, of a refresh token that nobody knows, and by a grant that is Microsoft's alone.
        with contextlib.suppress(UiRequiredError, ServiceError):
            world.run(lambda: method(app.application, account))
    assert on_the_loop == []


def test_the_look_at_the_file_that_is_due_after_a_refusal_does_not_block_the_loop(world: World) -> None:
    """The provider took so long that a minute, here, went by; in a program that is a second."""
    account = world.sign_in(world.public()).account
    app = world.public(before=lambda _: world.clock.advance(61))
    world.idp.revoke_user(ALICE)
    with pytest.raises(UiRequiredError, match="invalid_grant"):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)


def test_a_client_assertion_is_made_where_it_may_block(world: World) -> None:
    made_in: list[bool] = []

    def make() -> str:
        made_in.append(asyncio._get_running_loop() is None)
        return "service-assertion"

    service = world.confidential("service", ClientAssertion(make))
    with contextlib.suppress(ServiceError):  # the provider knows no assertions
        service.acquire_token_for_client(["api/.default"])
    assert made_in == [True]


@pytest.mark.parametrize("is_first_use", [True, False], ids=["first use", "warm"])
@pytest.mark.parametrize("name", ON_BEHALF)
def test_no_method_on_behalf_of_a_user_blocks_the_loop(
    world: World, on_the_loop: list[str], name: str, is_first_use: bool
) -> None:
    token = world.sign_in(world.public()).access_token
    api = world.confidential()
    api.initiate_long_running_on_behalf_of(token, SCOPES, session_key="job")
    if is_first_use:
        cache = TokenCache(world.directory, key=lambda: KEY, clock=world.clock)
        api = world.confidential(cache=cache)
    for _ in range(1 if is_first_use or name.startswith("stop") else 3):
        world.run(lambda: ON_BEHALF[name](api.application, token))
    assert on_the_loop == []


@pytest.mark.parametrize("source", ["imds", "azure_arc"])
def test_no_managed_identity_blocks_the_loop(
    world: World, on_the_loop: list[str], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    with serving_identities(source, world.clock, world.directory.parent) as endpoint:
        monkeypatch.setattr(azure_arc, "KEYS", str(endpoint.keys))
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in endpoint.environ.items():
            monkeypatch.setenv(name, value)
        cache = TokenCache(world.directory, key=lambda: KEY, clock=world.clock)
        app = world.run(lambda: ManagedIdentityApplication(cache=cache))
        for force in (False, False, True):
            world.run(lambda force=force: app.acquire_token_for_managed_identity("api", force_refresh=force))
        world.run(app.aclose)
        assert len(endpoint.granted) == 2
    assert on_the_loop == []


def test_what_blocks_the_loop_is_seen(world: World, on_the_loop: list[str]) -> None:
    cache = TokenCache(world.directory, key=KEY, clock=world.clock)

    async def open_here() -> None:
        cache.vault()

    asyncio.run(open_here())
    assert {"shared_store", "open_keyring", "resolve_key"} <= set(on_the_loop)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer does not work under strace")
def test_a_token_from_the_file_and_one_from_memory_cost_no_system_call(tmp_path: Path) -> None:
    """Once a second a look at the file is due, which may fall into one of the rounds."""
    log = tmp_path / "calls"
    command = [sys.executable, "-W", "error", str(HERE / "quiet_hits.py"), str(tmp_path / "cache")]
    done = subprocess.run(["strace", "-f", "-o", str(log), *command], env=environment(), timeout=120, check=True)
    assert done.returncode == 0
    names = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
    rounds = " ".join(names).split("getppid")[2:-1]
    assert len(rounds) == 6
    quiet = [set(calls.split()) <= {"brk", "mmap", "munmap", "mremap", "madvise"} for calls in rounds]
    assert True in quiet[0::2], f"a lookup in the file called {rounds[0::2]}"
    assert True in quiet[1::2], f"a lookup in memory called {rounds[1::2]}"


def test_a_hit_is_one_coroutine_without_a_thread_or_a_lock(world: World) -> None:
    app = world.public()
    account = world.sign_in(app).account
    for _ in range(2):
        app.acquire_token_silent(SCOPES, account)
    frames: list[str] = []
    builtins: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            frames.append(frame.f_code.co_name)
        elif event == "c_call":
            builtins.append(argument.__name__)

    threads = set(threading.enumerate())
    gc.disable()  # what it finalizes would be noted, too
    sys.setprofile(note)
    try:
        coroutine = app.application.acquire_token_silent(SCOPES, account)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            result = stop.value
    finally:
        sys.setprofile(None)
        gc.enable()
    assert result.metadata.cache_level == "L1"
    assert frames == ["_ready"]
    assert set(builtins) <= {"acquire_token_silent", "send", "setprofile"}
    assert set(threading.enumerate()) <= threads


def test_one_of_two_who_wait_may_be_cancelled(world: World) -> None:
    service = world.confidential()

    async def cancel_the_first(let_go: Callable[[], None]) -> Any:
        first, second = (
            asyncio.ensure_future(service.application.acquire_token_for_client(["api/.default"])) for _ in range(2)
        )
        while world.idp.counters.requests.get("token", 0) == 0:
            await asyncio.sleep(0.005)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        let_go()
        return await second

    with held_replies(world.idp) as let_go:
        result = world.run(lambda: cancel_the_first(let_go))
    assert service.acquire_token_for_client(["api/.default"]).access_token == result.access_token
    assert world.token_requests() == 1
