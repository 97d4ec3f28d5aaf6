"""Signing in with the browser: what is sent, what is believed, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from support.by_hand import sending
from support.world import ALICE, BOB, SCOPES, Client, World, eventually, new_world

from warmtoken import ClientError, ProtocolError, ServiceError, UiRequiredError, WarmTokenError
from warmtoken.flows import authorization_code
from warmtoken.testing import UserAgent


class Browser:
    """Keeps the URLs that it was to open, and may do something else with each."""

    def __init__(self, then: Callable[[str], object] | None = None) -> None:
        self.urls: list[str] = []
        self._then = then

    def __call__(self, url: str) -> None:
        self.urls.append(url)
        if self._then:
            self._then(url)

    def asked(self, number: int = -1) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.urls[number]).query).items()}

    def redirect(self, **answer: str) -> int:
        """Bring an answer to the program, and return the status of its page."""
        try:
            with urllib.request.urlopen(f"{self.asked()['redirect_uri']}?{urlencode(answer)}", timeout=60) as page:
                return int(page.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code

    def port_is_free(self) -> bool:
        parts = urlsplit(self.asked()["redirect_uri"])
        with socket.socket() as probe:
            return probe.connect_ex((parts.hostname or "", parts.port or 0)) != 0


def test_a_sign_in_brings_token_account_and_id_token(world: World, app: Client) -> None:
    agent = UserAgent(username=ALICE)
    result = app.acquire_token_interactive(SCOPES, open_browser=agent)
    agent.join()
    assert "Signed in" in agent.last_page
    assert set(SCOPES) <= set(result.scopes)
    assert (result.account.username, result.account.account_source) == (ALICE, "authorization_code")
    assert result.account.environment == urlsplit(world.idp.issuer).netloc
    assert result.unique_id == result.account.home_account_id == result.id_token_claims["sub"]
    assert result.authorization_header() == f"Bearer {result.access_token}"
    assert 3590 < result.expires_on - world.clock.time() <= 3600
    assert (result.metadata.token_source, result.metadata.cache_level) == ("identity_provider", "none")
    assert result.metadata.cache_refresh_reason == "not_applicable"
    assert result.metadata.token_endpoint == f"{world.idp.issuer}/token"
    assert 0 < result.metadata.duration_http_ms < result.metadata.duration_total_ms
    assert app.get_accounts() == [result.account]


def test_under_asyncio_a_coroutine_function_may_open_the_browser(world: World) -> None:
    agent = UserAgent(username=ALICE)
    browser = Browser(agent)

    async def open_browser(url: str) -> None:
        await asyncio.to_thread(browser, url)

    app = world.public()
    if world.mode == "async":
        assert app.acquire_token_interactive(SCOPES, open_browser=open_browser).account.username == ALICE
        agent.join()
        return
    with pytest.raises(ClientError, match="event_loop_required"):
        app.acquire_token_interactive(SCOPES, open_browser=open_browser)


def test_the_url_says_what_was_asked_for(world: World) -> None:
    app = world.public(client_capabilities=["cp1"])
    browser = Browser(UserAgent(username=BOB))
    app.acquire_token_interactive(
        SCOPES,
        open_browser=browser,
        login_hint=BOB,
        prompt="select_account",
        claims='{"id_token":{"auth_time":{"essential":true}}}',
    )
    asked = browser.asked()
    assert browser.urls[0].startswith(f"{world.idp.issuer}/authorize?")
    assert set(asked["scope"].split()) == {"openid", "profile", "offline_access", *SCOPES}
    assert (asked["login_hint"], asked["prompt"], asked["client_id"]) == (BOB, "select_account", "cli")
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert urlsplit(asked["redirect_uri"]).hostname == "127.0.0.1"
    assert json.loads(asked["claims"]) == {
        "id_token": {"auth_time": {"essential": True}},
        "access_token": {"xms_cc": {"values": ["cp1"]}},
    }


def test_state_nonce_and_challenge_are_new_each_time(app: Client) -> None:
    browser = Browser(UserAgent())
    for _ in range(3):
        app.acquire_token_interactive(SCOPES, open_browser=browser)
    for name in ("state", "nonce", "code_challenge"):
        values = {browser.asked(number)[name] for number in range(3)}
        assert len(values) == 3
        assert all(len(value) == 43 for value in values)  # 256 bits in base64url
    assert len({browser.asked(number)[name] for number in range(3) for name in ("state", "nonce")}) == 6


@pytest.mark.parametrize(("given", "path"), [(None, "/"), ("/callback", "/callback"), ("", "")])
def test_the_redirect_goes_to_the_path_that_the_client_registered(world: World, given: str | None, path: str) -> None:
    browser = Browser(UserAgent())
    app = world.public(redirect_path=given)
    assert app.acquire_token_interactive(SCOPES, open_browser=browser).account.username == ALICE
    assert urlsplit(browser.asked()["redirect_uri"]).path == path


def test_a_correlation_id_goes_with_the_code(world: World) -> None:
    sent: list[str] = []
    app = world.public(before=lambda request: sent.append(request.headers["client-request-id"]))
    result = app.acquire_token_interactive(SCOPES, open_browser=UserAgent(), correlation_id="mine")
    assert (result.correlation_id, sent) == ("mine", ["mine"])


def test_the_program_may_be_told_in_the_foreground(app: Client) -> None:
    """A browser that returns only when the user is done."""
    result = app.acquire_token_interactive(SCOPES, open_browser=UserAgent(background=False))
    assert result.account.username == ALICE


def test_a_forged_redirect_does_not_end_the_wait(app: Client) -> None:
    forged: list[int] = []

    def attack_then_sign_in(url: str) -> None:
        forged.append(browser.redirect(code="stolen", state="guessed"))
        forged.append(browser.redirect(error="access_denied"))
        UserAgent(username=ALICE)(url)

    browser = Browser(attack_then_sign_in)
    assert app.acquire_token_interactive(SCOPES, open_browser=browser).account.username == ALICE
    assert forged == [400, 400]


@pytest.mark.parametrize(
    ("response", "code"),
    [
        pytest.param({"iss": "https://attacker.example"}, "issuer_mismatch", id="another issuer"),
        pytest.param({"iss": None}, "issuer_mismatch", id="no issuer, though the provider says it names it"),
        pytest.param({"code": None}, "code_missing", id="neither code nor error"),
    ],
)
def test_an_answer_that_is_not_right_is_dropped(
    world: World, app: Client, response: dict[str, str | None], code: str
) -> None:
    world.idp.authorization_response = response
    browser = Browser(UserAgent())
    with pytest.raises(ProtocolError) as refused:
        app.acquire_token_interactive(SCOPES, open_browser=browser)
    assert refused.value.code == code
    assert world.token_requests() == 0  # the code of one issuer must not reach another one
    assert browser.port_is_free()


def test_a_user_who_cancels_is_access_denied(world: World, app: Client) -> None:
    agent = UserAgent(behaviour="cancel")
    with pytest.raises(ClientError) as refused:
        app.acquire_token_interactive(SCOPES, open_browser=agent)
    agent.join()
    assert refused.value.code == "access_denied"
    assert "Sign-in failed" in agent.last_page


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("server_error", ServiceError),
        ("temporarily_unavailable", ServiceError),
        ("invalid_scope", ServiceError),
        ("login_required", UiRequiredError),
        ("consent_required", UiRequiredError),
    ],
)
def test_an_error_of_the_provider_is_typed(world: World, app: Client, error: str, kind: type[WarmTokenError]) -> None:
    world.idp.authorization_response = {"code": None, "error": error, "error_description": "words\x1b[31m of theirs"}
    with pytest.raises(kind) as refused:
        app.acquire_token_interactive(SCOPES, open_browser=UserAgent())
    assert type(refused.value) is kind
    assert refused.value.code == error
    assert "words[31m of theirs" in str(refused.value)
    assert getattr(refused.value, "is_retryable", False) == (error == "temporarily_unavailable")


def test_nobody_comes_back(app: Client) -> None:
    browser = Browser()
    with pytest.raises(ClientError) as failed:
        app.acquire_token_interactive(SCOPES, open_browser=browser, timeout=0.1)
    assert failed.value.code == "authentication_timeout"
    assert browser.port_is_free()


def test_a_browser_that_cannot_be_opened_frees_the_port(app: Client) -> None:
    def refuse(_: str) -> None:
        raise OSError("no such browser")

    browser = Browser(refuse)
    with pytest.raises(OSError, match="no such browser"):
        app.acquire_token_interactive(SCOPES, open_browser=browser)
    assert browser.port_is_free()


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({"nonce": "of another sign-in"}, "id_token_nonce_mismatch", id="replayed"),
        pytest.param({"nonce": None}, "id_token_nonce_mismatch", id="without nonce"),
        pytest.param({"iss": "https://attacker.example"}, "id_token_issuer_mismatch", id="another issuer"),
        pytest.param({"aud": "another"}, "id_token_audience_mismatch", id="another client"),
        pytest.param({"sub": None}, "id_token_subject_missing", id="without user"),
    ],
)
def test_an_id_token_of_another_sign_in_is_refused_and_nothing_is_stored(
    world: World, app: Client, claims: dict[str, str | None], code: str
) -> None:
    world.idp.id_token_claims = claims
    with pytest.raises(ProtocolError) as refused:
        app.acquire_token_interactive(SCOPES, open_browser=UserAgent())
    assert refused.value.code == code
    assert app.get_accounts() == []


def test_a_sign_in_without_id_token_names_nobody(world: World, app: Client) -> None:
    world.idp.omit_id_token = True
    with pytest.raises(ProtocolError, match="account_missing"):
        app.acquire_token_interactive(SCOPES, open_browser=UserAgent())


def test_a_code_that_the_provider_refuses_is_told_without_the_code(world: World, app: Client) -> None:
    world.idp.authorization_response = {"code": "code-canary-1234567890"}
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_interactive(SCOPES, open_browser=UserAgent())
    assert refused.value.code == "invalid_grant"
    assert "canary" not in str(refused.value)


def test_a_second_sign_in_of_a_user_replaces_the_first(world: World, app: Client) -> None:
    first, second = world.sign_in(app), world.sign_in(app)
    assert app.get_accounts() == [second.account]
    assert first.account == second.account
    assert app.acquire_token_silent(SCOPES, second.account).access_token == second.access_token


# --- interruptions ---


def test_a_cancelled_call_frees_the_port_at_once(tmp_path: Path) -> None:
    with new_world("async", tmp_path) as world:
        browser = Browser()
        call = world.public().application.acquire_token_interactive

        async def cancel_while_waiting() -> float:
            task = asyncio.ensure_future(call(SCOPES, open_browser=browser, timeout=60))
            while not browser.urls:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            since = asyncio.get_running_loop().time()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return asyncio.get_running_loop().time() - since

        assert world.run(cancel_while_waiting) < 30
        assert browser.port_is_free()


def test_ctrl_c_ends_the_wait_and_frees_the_port(tmp_path: Path) -> None:
    with new_world("sync", tmp_path) as world:
        browser = Browser()
        main_thread = threading.main_thread().ident
        assert main_thread is not None

        def interrupt() -> None:
            eventually(lambda: browser.urls)
            signal.pthread_kill(main_thread, signal.SIGINT)

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            world.public().acquire_token_interactive(SCOPES, open_browser=browser, timeout=60)
        interrupter.join()
        assert browser.port_is_free()


def test_a_flow_that_nobody_runs_any_more_frees_the_port(tmp_path: Path) -> None:
    with new_world("sync", tmp_path) as world:
        browser = Browser()
        context = world.public().application._context
        request = authorization_code.InteractiveRequest(SCOPES, browser)
        flow = authorization_code.acquire_interactive(context, request)
        response = world.transport().send(sending(flow).request, timeout=60)
        flow.send(response).function()
        flow.close()
        assert browser.port_is_free()


@pytest.mark.parametrize(("path", "expected"), [(None, "/"), ("/callback", "/callback"), ("", "")])
def test_the_redirect_comes_to_the_path_that_the_client_registered(
    world: World, path: str | None, expected: str
) -> None:
    browser = Browser(UserAgent(username=ALICE))
    result = world.public(redirect_path=path).acquire_token_interactive(SCOPES, open_browser=browser)
    assert result.account.username == ALICE
    assert urlsplit(browser.asked()["redirect_uri"]).path == expected
