"""Signing in on another device: what is shown, when is polled, what ends it, and that the code stays hidden."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from support.by_hand import sending
from support.world import ALICE, BOB, SCOPES, Client, StillClock, World, eventually, new_world

from warmtoken import (
    AuthenticationResult,
    ClientError,
    DeviceCode,
    ProtocolError,
    ServiceError,
    ThrottledError,
    TokenCache,
    TransportError,
    UiRequiredError,
)
from warmtoken.flows.context import Context
from warmtoken.flows.device_code import acquire_by_device_code
from warmtoken.flows.driver import drive
from warmtoken.flows.effects import Call, Flow, Send, Sleep
from warmtoken.flows.requests import DeviceCodeRequest
from warmtoken.models import Account
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.client_authentication import Client as ClientIdentity
from warmtoken.testing import Clock, UserAgent
from warmtoken.transport import HttpRequest, HttpResponse

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
ENTRA = "https://login.microsoftonline.com/contoso.example"
DEVICE_CODE = "device-code-canary"
AUTHORIZATION = {
    "device_code": DEVICE_CODE,
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.microsoft.com/device",
    "expires_in": 62,
    "message": "\x1b[31mmessage of the provider",
}
PENDING, SLOW_DOWN = "authorization_pending", "slow_down"
NO_ROUTE = TransportError("connection_failed", "no route")


# --- driven by hand ---


@pytest.fixture
def clock() -> Clock:
    return StillClock()


@pytest.fixture
def context(tmp_path: Path, clock: Clock) -> Iterator[Context]:
    with TokenCache(tmp_path / "cache", key=bytes(32), clock=clock) as cache:
        yield Context(ClientIdentity("cli"), parse_authority(ENTRA), cache)


def segment(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def tokens(uid: str = "oid-1", **changes: Any) -> dict[str, Any]:
    granted = {
        "token_type": "Bearer",
        "access_token": "at-1",
        "expires_in": 3600,
        "client_info": segment({"uid": uid, "utid": "tid-1"}),
    }
    return {name: value for name, value in {**granted, **changes}.items() if value is not None}


def refusal(error: str, status: int = 400, **more: Any) -> HttpResponse:
    return HttpResponse(status, {}, json.dumps({"error": error, **more}).encode())


Answer = str | dict[str, Any] | HttpResponse | Exception


class ByHand:
    """Runs a flow on a clock that only its sleeps move, and keeps when it polled."""

    def __init__(self, clock: Clock, answers: Iterable[Answer] = (), **authorization: Any) -> None:
        self.requests: list[HttpRequest] = []
        self.timeouts: list[float] = []
        self.sleeps: list[float] = []
        self._clock = clock
        self._answers = iter(answers)
        self._authorization = {**AUTHORIZATION, **authorization}

    def run(self, flow: Flow[AuthenticationResult]) -> AuthenticationResult:
        move: Callable[[], Any] = lambda: next(flow)  # noqa: E731
        while True:
            try:
                effect = move()
            except StopIteration as stop:
                result: AuthenticationResult = stop.value
                return result
            move = self._outcome(flow, effect)

    def polled_with(self, number: int = -1) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.requests[number].body.decode()).items()}

    def _outcome(self, flow: Flow[Any], effect: object) -> Callable[[], Any]:
        if isinstance(effect, Sleep):
            self.sleeps.append(effect.seconds)
            self._clock.advance(effect.seconds)
            return lambda: next(flow)
        if isinstance(effect, Call):
            returned = effect.function()
            return lambda: flow.send(returned)
        assert isinstance(effect, Send)
        assert DEVICE_CODE not in repr(effect)
        self.requests.append(effect.request)
        self.timeouts.append(effect.timeout)
        if len(self.requests) == 1:
            return lambda: flow.send(HttpResponse(200, {}, json.dumps(self._authorization).encode()))
        return self._answer(flow, next(self._answers, PENDING))

    def _answer(self, flow: Flow[Any], answer: Answer) -> Callable[[], Any]:
        if isinstance(answer, Exception):
            return lambda: flow.throw(answer)
        if isinstance(answer, str):
            answer = refusal(answer)
        elif isinstance(answer, dict):
            answer = HttpResponse(200, {}, json.dumps(answer).encode())
        return lambda: flow.send(answer)


def ignore(_: DeviceCode) -> None:
    return None


def request(show: Callable[[DeviceCode], object] = ignore, **more: Any) -> DeviceCodeRequest:
    return DeviceCodeRequest(["User.Read"], show, **more)


def test_entra_is_asked_at_its_own_endpoint(context: Context, clock: Clock) -> None:
    hand = ByHand(clock, [tokens()])
    result = hand.run(acquire_by_device_code(context, request(claims='{"a":{}}', correlation_id="c-1")))
    assert [sent.url for sent in hand.requests] == [f"{ENTRA}/oauth2/v2.0/devicecode", f"{ENTRA}/oauth2/v2.0/token"]
    assert {"User.Read", "openid", "offline_access"} <= set(hand.polled_with(0)["scope"].split())
    assert hand.polled_with() == {
        "client_id": "cli",
        "grant_type": DEVICE_CODE_GRANT,
        "device_code": DEVICE_CODE,
        "client_info": "1",
        "claims": '{"a":{}}',
    }
    assert result.correlation_id == "c-1"
    assert result.account is not None
    assert (result.account.home_account_id, result.account.account_source) == ("oid-1.tid-1", "device_code_flow")
    assert hand.sleeps == []


def test_the_user_is_shown_the_code_once_before_any_poll(context: Context, clock: Clock) -> None:
    shown: list[tuple[int, DeviceCode]] = []
    complete = "https://login.microsoft.com/device?user_code=WDJB-MJHT"
    hand = ByHand(clock, [PENDING, tokens()], verification_uri_complete=complete)
    before = int(clock.time())
    hand.run(acquire_by_device_code(context, request(lambda code: shown.append((len(hand.requests), code)))))
    ((requests, code),) = shown
    assert requests == 1
    assert (code.user_code, code.verification_uri) == ("WDJB-MJHT", "https://login.microsoft.com/device")
    assert code.verification_uri_complete == complete
    assert code.expires_on == before + 62
    assert code.message == f"To sign in, open {code.verification_uri} in a browser and enter the code WDJB-MJHT"
    assert DEVICE_CODE not in repr(code)


def test_what_on_user_code_raises_ends_the_call(context: Context, clock: Clock) -> None:
    def fail(_: DeviceCode) -> None:
        raise LookupError("no screen")

    hand = ByHand(clock)
    with pytest.raises(LookupError):
        hand.run(acquire_by_device_code(context, request(fail)))
    assert len(hand.requests) == 1


@pytest.mark.parametrize(
    ("answers", "sleeps"),
    [
        ([tokens()], []),
        ([PENDING, PENDING, tokens()], [5, 5]),
        ([refusal(PENDING, 200), tokens()], [5]),
        ([PENDING, SLOW_DOWN, PENDING, tokens()], [5, 10, 10]),
        ([SLOW_DOWN, SLOW_DOWN, PENDING, tokens()], [10, 15, 15]),
        ([refusal(SLOW_DOWN, 429), PENDING, tokens()], [10, 10]),
        ([NO_ROUTE, NO_ROUTE, NO_ROUTE, tokens()], [10, 20, 40]),
        ([NO_ROUTE, NO_ROUTE, PENDING, tokens()], [10, 20, 5]),
        ([SLOW_DOWN, NO_ROUTE, PENDING, tokens()], [10, 20, 10]),
        ([NO_ROUTE, SLOW_DOWN, NO_ROUTE, tokens()], [10, 10, 20]),
        ([NO_ROUTE] * 6 + [tokens()], [10, 20, 40, 60, 60, 60]),
    ],
)
def test_the_pace_of_polling(context: Context, clock: Clock, answers: list[Answer], sleeps: list[float]) -> None:
    """RFC 8628, section 3.5: wait the interval, 5 s more for good after slow_down, twice as long while unreached."""
    hand = ByHand(clock, answers, expires_in=900)
    assert hand.run(acquire_by_device_code(context, request())).access_token == "at-1"
    assert hand.sleeps == sleeps


def test_the_provider_sets_the_interval(context: Context, clock: Clock) -> None:
    hand = ByHand(clock, [PENDING, SLOW_DOWN, NO_ROUTE, NO_ROUTE, tokens()], interval=70, expires_in=900)
    hand.run(acquire_by_device_code(context, request()))
    assert hand.sleeps == [70, 75, 75, 75]


def test_every_poll_has_its_own_time(context: Context, clock: Clock) -> None:
    hand = ByHand(clock)
    with pytest.raises(ClientError):
        hand.run(acquire_by_device_code(context, request()))
    assert hand.timeouts[1:] == [30] * 7 + [27, 22, 17, 12, 7, 2]


@pytest.mark.parametrize(
    ("timeout", "polls"), [(None, 13), (600, 13), (22, 5), (4, 1), (0, 1)], ids=["none", "later", "22", "4", "0"]
)
def test_polling_ends_at_the_earlier_deadline(
    context: Context, clock: Clock, timeout: float | None, polls: int
) -> None:
    """Where no further poll can come in time there is none, and no waiting either."""
    hand = ByHand(clock)
    with pytest.raises(ClientError) as ended:
        hand.run(acquire_by_device_code(context, request(timeout=timeout, correlation_id="c-1")))
    assert (ended.value.code, ended.value.correlation_id) == ("authentication_timeout", "c-1")
    assert len(hand.requests) - 1 == polls
    assert hand.sleeps == [5] * (polls - 1)


def test_a_timeout_without_a_provider_says_so(context: Context, clock: Clock) -> None:
    hand = ByHand(clock, [NO_ROUTE] * 99)
    with pytest.raises(ClientError) as ended:
        hand.run(acquire_by_device_code(context, request()))
    assert ended.value.code == "authentication_timeout"
    assert ended.value.__cause__ is NO_ROUTE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("expired_token", "authentication_timeout"),
        ("access_denied", "access_denied"),
        ("authorization_declined", "access_denied"),
    ],
)
def test_what_the_user_did_is_a_client_error(context: Context, clock: Clock, answer: str, code: str) -> None:
    hand = ByHand(clock, [PENDING, refusal(answer, error_description=f"{answer} of {DEVICE_CODE}")])
    with pytest.raises(ClientError) as ended:
        hand.run(acquire_by_device_code(context, request(correlation_id="c-1")))
    assert (ended.value.code, ended.value.correlation_id) == (code, "c-1")
    assert len(hand.requests) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (refusal("invalid_client", 401), ServiceError, "invalid_client"),
        (refusal("bad_verification_code"), ServiceError, "bad_verification_code"),
        (refusal(PENDING, 503), ServiceError, "service_not_available"),
        (refusal("too_many", 429), ThrottledError, "too_many"),
        (refusal("invalid_grant"), UiRequiredError, "invalid_grant"),
        (HttpResponse(200, {}, b"<html>"), ProtocolError, "non_parsable_oauth_error"),
    ],
)
def test_any_other_answer_ends_it(
    context: Context, clock: Clock, answer: Answer, kind: type[Exception], code: str
) -> None:
    hand = ByHand(clock, [PENDING, answer])
    with pytest.raises(kind) as ended:
        hand.run(acquire_by_device_code(context, request()))
    assert ended.value.code == code  # type: ignore[attr-defined]
    assert len(hand.requests) == 3


def test_the_device_code_is_in_no_message_and_no_log(
    context: Context, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for error in (PENDING, "access_denied", "expired_token", "invalid_grant", "invalid_request"):
        answer = refusal(error, error_description=f"the code {DEVICE_CODE} is not good")
        hand = ByHand(clock, [answer] * 99)
        with pytest.raises((ClientError, UiRequiredError, ServiceError)) as ended:
            hand.run(acquire_by_device_code(context, request()))
        chain = [ended.value, ended.value.__cause__, ended.value.__context__]
        assert DEVICE_CODE not in f"{chain} {[str(link) for link in chain]} {[vars(link) for link in chain if link]}"
    assert DEVICE_CODE not in caplog.text


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_an_interrupted_flow_stops(context: Context, interruption: type[BaseException]) -> None:
    """While it waits, and while it asks: nothing more is sent."""
    for answers in (0, 1):
        flow = acquire_by_device_code(context, request())
        sending(flow)
        call = flow.send(HttpResponse(200, {}, json.dumps(AUTHORIZATION).encode()))
        assert isinstance(call, Call)
        effect = flow.send(call.function())
        for _ in range(answers):
            effect = flow.send(refusal(PENDING))
        assert isinstance(effect, Sleep if answers else Send)
        with pytest.raises(interruption):
            flow.throw(interruption())
        with pytest.raises(StopIteration):
            next(flow)


@pytest.mark.parametrize(
    ("reply", "refused"),
    [(tokens("oid-2"), "user_mismatch"), (tokens(client_info=None), "account_missing")],
    ids=["another user", "nobody"],
)
def test_only_the_account_that_was_asked_for_will_do(
    context: Context, clock: Clock, reply: dict[str, Any], refused: str
) -> None:
    alice = Account("oid-1.tid-1", "login.microsoftonline.com", ALICE)
    assert ByHand(clock, [tokens()]).run(acquire_by_device_code(context, request(account=alice))).account is not None
    with pytest.raises((ClientError, ProtocolError)) as ended:
        ByHand(clock, [reply]).run(acquire_by_device_code(context, request(account=alice)))
    assert ended.value.code == refused


# --- against the provider ---


class Screen:
    """Shows the code to a user who acts on it at once, and keeps what was shown."""

    def __init__(self, agent: UserAgent | None = None) -> None:
        self.shown: list[DeviceCode] = []
        self._agent = agent

    def __call__(self, code: DeviceCode) -> None:
        self.shown.append(code)
        if self._agent is not None:
            assert code.verification_uri_complete is not None
            self._agent(code.verification_uri_complete)


def without_waiting(flow: Flow[AuthenticationResult], clock: Clock, sleeps: list[float]) -> Flow[AuthenticationResult]:
    """The same flow, but its waits move the clock."""
    effect = next(flow)
    try:
        while True:
            if isinstance(effect, Sleep):
                sleeps.append(effect.seconds)
                clock.advance(effect.seconds)
                effect = next(flow)
            else:
                effect = flow.send((yield effect))
    except StopIteration as stop:
        result: AuthenticationResult = stop.value
        return result


def user(username: str = ALICE, **more: Any) -> Screen:
    return Screen(UserAgent(username, background=False, **more))


def test_a_sign_in_brings_token_account_and_id_token(world: World, app: Client) -> None:
    screen = user()
    result = app.acquire_token_by_device_code(SCOPES, on_user_code=screen)
    assert set(SCOPES) <= set(result.scopes)
    assert result.metadata.token_source == "identity_provider"
    assert result.id_token_claims["preferred_username"] == ALICE
    assert (result.account.username, result.account.account_source) == (ALICE, "device_code_flow")
    assert app.get_accounts() == [result.account]
    assert app.acquire_token_silent(SCOPES, result.account).access_token == result.access_token
    (code,) = screen.shown
    assert code.verification_uri == f"{world.idp.issuer}/device"
    assert code.user_code in code.message
    assert world.idp.token_requests[-1].grant_type == DEVICE_CODE_GRANT
    world.clock.advance(3600)
    assert app.acquire_token_silent(SCOPES, result.account).access_token != result.access_token


def test_under_asyncio_the_code_may_be_shown_by_a_coroutine_function(world: World, app: Client) -> None:
    screen = user()

    async def show(code: DeviceCode) -> None:
        await asyncio.to_thread(screen, code)

    if world.mode == "async":
        assert app.acquire_token_by_device_code(SCOPES, on_user_code=show).account.username == ALICE
        return
    with pytest.raises(ClientError, match="event_loop_required"):
        app.acquire_token_by_device_code(SCOPES, on_user_code=show)
    assert world.idp.counters.requests.get("token", 0) == 0  # nobody polls for a code that nobody has seen


def test_polling_goes_on_at_the_providers_pace_until_the_user_has_decided(tmp_path: Path) -> None:
    """The provider's clock is the one that is moved: sooner, and it would have answered slow_down."""
    with new_world("sync", tmp_path) as world:
        screen, sleeps = Screen(), list[float]()
        world.idp.device_interval = 7

        def approve(_: HttpRequest) -> None:
            if world.token_requests() == 3:
                world.idp.approve_device(screen.shown[0].user_code, BOB)

        context = world.public().application._context
        flow = acquire_by_device_code(context, DeviceCodeRequest(SCOPES, screen))
        result = drive(without_waiting(flow, world.clock, sleeps), world.transport(after=approve))
        assert result.account is not None
        assert result.account.username == BOB
        assert sleeps == [7, 7, 7]


def test_a_user_who_cancels_is_access_denied(app: Client) -> None:
    with pytest.raises(ClientError) as refused:
        app.acquire_token_by_device_code(SCOPES, on_user_code=user(behaviour="cancel"))
    assert refused.value.code == "access_denied"
    assert app.get_accounts() == []


def test_a_code_that_expired_is_a_timeout(world: World, app: Client) -> None:
    with pytest.raises(ClientError) as refused:
        app.acquire_token_by_device_code(SCOPES, on_user_code=lambda _: world.clock.advance(901))
    assert refused.value.code == "authentication_timeout"
    assert world.token_requests() == 1


def test_a_refusal_of_the_first_request_shows_nothing(world: World, app: Client) -> None:
    world.idp.fail_next("device_authorization", status=400, body={"error": "unauthorized_client"})
    screen = Screen()
    with pytest.raises(ServiceError) as refused:
        app.acquire_token_by_device_code(SCOPES, on_user_code=screen)
    assert refused.value.code == "unauthorized_client"
    assert screen.shown == []


def test_a_cancelled_call_stops_polling(tmp_path: Path) -> None:
    with new_world("async", tmp_path) as world:
        world.idp.device_interval = 60
        call = world.public().application.acquire_token_by_device_code

        async def cancel_while_waiting() -> float:
            task = asyncio.ensure_future(call(SCOPES, on_user_code=ignore))
            await asyncio.to_thread(eventually, world.token_requests)
            await asyncio.sleep(0.05)
            since = asyncio.get_running_loop().time()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return asyncio.get_running_loop().time() - since

        assert world.run(cancel_while_waiting) < 30
        assert world.token_requests() == 1


def test_wrong_arguments_are_refused_at_once(app: Client) -> None:
    with pytest.raises(TypeError, match="on_user_code"):
        app.acquire_token_by_device_code(SCOPES, on_user_code="print")
    with pytest.raises(ValueError, match="timeout"):
        app.acquire_token_by_device_code(SCOPES, on_user_code=ignore, timeout=-1)
    with pytest.raises(TypeError, match="claims"):
        app.acquire_token_by_device_code(SCOPES, on_user_code=ignore, claims={})


# --- as a fallback ---


def test_the_fallback_asks_on_another_device_once(world: World, app: Client) -> None:
    screen = user()
    first = app.acquire_token(SCOPES, fallback="device_code", on_user_code=screen)
    for _ in range(3):
        again = app.acquire_token(SCOPES, fallback="device_code", on_user_code=screen)
        assert again.access_token == first.access_token
    assert len(screen.shown) == 1
    world.idp.revoke_user(ALICE)
    world.clock.advance(3600)
    again = app.acquire_token(SCOPES, first.account, fallback="device_code", on_user_code=screen)
    assert again.account == first.account
    assert len(screen.shown) == 2


def test_another_user_than_the_account_that_was_passed_is_refused(world: World, app: Client) -> None:
    alice = world.sign_in(app, ALICE)
    world.idp.revoke_user(ALICE)
    world.clock.advance(3600)
    with pytest.raises(ClientError) as refused:
        app.acquire_token(SCOPES, alice.account, fallback="device_code", on_user_code=user(BOB))
    assert refused.value.code == "user_mismatch"
    assert app.get_accounts() == []  # nothing of the other user, and the first one is signed out


def test_a_claims_challenge_is_passed_on(world: World) -> None:
    sent: list[HttpRequest] = []
    app = world.public(before=sent.append)
    account = world.sign_in(app).account
    world.clock.advance(3600)
    body = {"error": "invalid_grant", "claims": '{"access_token":{"acrs":{"value":"c1"}}}'}
    world.idp.fail_next("token", status=400, body=body)
    app.acquire_token(SCOPES, account, fallback="device_code", on_user_code=user())
    assert world.idp.token_requests[-1].grant_type == DEVICE_CODE_GRANT
    assert b"acrs" in sent[-1].body


def test_the_fallback_needs_to_show_the_code(world: World, app: Client) -> None:
    with pytest.raises(ValueError, match="on_user_code"):
        app.acquire_token(SCOPES, fallback="device_code")
    with pytest.raises(TypeError, match="on_user_code"):
        app.acquire_token(SCOPES, fallback="device_code", on_user_code="print")
    world.sign_in(app)
    with pytest.raises(ValueError, match="on_user_code"):
        app.acquire_token(SCOPES, fallback="device_code")
