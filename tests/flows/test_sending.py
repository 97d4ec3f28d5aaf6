"""How often a request is sent: once more after a failure that passes, and never against the provider's will."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from support.world import SCOPES, Client, World

from warmtoken import ClientAssertion, ServiceError, ThrottledError, TransportError, UiRequiredError
from warmtoken.flows import context, sending
from warmtoken.flows.context import HTTP_TIMEOUT, Stopwatch
from warmtoken.flows.effects import Call, Flow, Send, Sleep
from warmtoken.flows.sending import Exchange
from warmtoken.transport import HttpRequest, HttpResponse

REQUEST = HttpRequest("POST", "https://idp.example/token")
Outcome = HttpResponse | TransportError
OK = HttpResponse(200)


def status(number: int, **headers: str) -> HttpResponse:
    return HttpResponse(number, {name.replace("_", "-"): value for name, value in headers.items()})


def failure(code: str) -> TransportError:
    return TransportError(code, "no reply")


class Hand:
    """Sends a request by hand: each sending takes some seconds and has the next outcome."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> None:
        self.now = 1000.0
        self.seconds = seconds
        self.timeouts: list[float] = []
        self.pauses: list[float] = []
        self.made: list[HttpRequest] = []
        self.how: Callable[[Callable[[], HttpRequest], Stopwatch], Flow[Exchange]] = sending.send
        clock = SimpleNamespace(monotonic=lambda: self.now, perf_counter=lambda: self.now)
        for module in (sending, context):
            monkeypatch.setattr(module, "time", clock)

    def make(self) -> HttpRequest:
        self.made.append(replace(REQUEST))
        return self.made[-1]

    def send(self, *outcomes: Outcome) -> Outcome:
        self.watch = Stopwatch()
        flow, left = self.how(self.make, self.watch), list(outcomes)
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Call):
                    effect = flow.send(effect.function())
                    continue
                if isinstance(effect, Sleep):
                    self.pauses.append(effect.seconds)
                    self.now += effect.seconds
                    effect = flow.send(None)
                    continue
                assert isinstance(effect, Send)
                assert effect.request is self.made[-1]
                self.timeouts.append(effect.timeout)
                self.now += self.seconds
                outcome = left.pop(0)
                effect = flow.throw(outcome) if isinstance(outcome, TransportError) else flow.send(outcome)
        except StopIteration as stop:
            answered = stop.value
        except TransportError as error:
            return error
        assert answered.request is self.made[-1]
        return answered.response


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    return Hand(monkeypatch)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(status(500), id="500"),
        pytest.param(status(503), id="503"),
        pytest.param(status(599), id="599"),
        pytest.param(status(408), id="408"),
        pytest.param(failure("connection_failed"), id="no connection, or cut"),
        pytest.param(failure("request_timeout"), id="a transport's own timeout"),
    ],
)
def test_a_failure_that_may_pass_is_followed_by_one_more_sending(hand: Hand, first: Outcome) -> None:
    assert hand.send(first, OK) is OK
    assert len(hand.pauses) == 1
    last = status(502)
    assert hand.send(first, last) is last
    assert len(hand.timeouts) == len(hand.made) == 4


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(OK, id="200"),
        pytest.param(status(400), id="400"),
        pytest.param(status(404), id="404"),
        pytest.param(status(429), id="429"),
        pytest.param(status(429, retry_after="1"), id="429 with Retry-After"),
        pytest.param(status(503, retry_after="1"), id="503 with Retry-After"),
        pytest.param(status(408, retry_after="1"), id="408 with Retry-After"),
        pytest.param(failure("response_too_large"), id="too large a reply"),
    ],
)
def test_all_else_is_sent_once(hand: Hand, first: Outcome) -> None:
    assert hand.send(first) is first
    assert hand.pauses == []


@pytest.mark.parametrize(("seconds", "sendings"), [(9.9, 2), (10.0, 1), (29.0, 1)])
def test_what_took_ten_seconds_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch, seconds: float, sendings: int
) -> None:
    """A refresh token may be spent by then, and who took it forgets that it was given out a moment ago."""
    hand = Hand(monkeypatch, seconds)
    hand.send(status(503), OK)
    assert len(hand.timeouts) == sendings


def test_all_sendings_and_the_pause_share_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand(monkeypatch, 7.0)
    monkeypatch.setattr(sending, "RETRY_PAUSE", (1.0, 1.0))
    hand.send(status(503), OK)
    assert hand.timeouts == [HTTP_TIMEOUT, HTTP_TIMEOUT - 8.0]
    assert hand.watch.http_ms == pytest.approx(15_000)


def test_the_pause_is_a_second_more_or_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the tests' own pause is none
    hand = Hand(monkeypatch)
    for _ in range(100):
        hand.send(status(503), OK)
    assert len(set(hand.pauses)) > 50
    assert min(hand.pauses) >= 0.75
    assert max(hand.pauses) <= 1.25


# --- with a provider ---


def broken(world: World, times: int) -> None:
    world.idp.fail_next("token", times, status=503)


def cut(world: World, times: int) -> None:
    world.idp.fail_next("token", times, disconnect="before")


@pytest.mark.parametrize("fault", [broken, cut])
def test_one_failure_goes_by_unnoticed(world: World, app: Client, fault: Callable[[World, int], None]) -> None:
    account = world.sign_in(app).account
    service = world.confidential()
    fault(world, 1)
    refreshed = app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert refreshed.metadata.token_source == "identity_provider"
    fault(world, 1)
    assert service.acquire_token_for_client(["api/.default"]).access_token
    assert (world.token_requests(), world.idp.counters.replays_detected) == (4, 0)


@pytest.mark.parametrize(("fault", "kind"), [(broken, ServiceError), (cut, TransportError)])
def test_two_failures_are_an_error(
    world: World, app: Client, fault: Callable[[World, int], None], kind: type[Exception]
) -> None:
    account = world.sign_in(app).account
    fault(world, 2)
    with pytest.raises(kind):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert world.token_requests() == 2


def test_a_provider_that_asks_to_wait_is_not_asked_again(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    world.idp.fail_next("token", 2, status=503, headers={"retry-after": "1"})
    with pytest.raises(ThrottledError):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert world.token_requests() == 1


def test_a_sign_in_survives_one_failure(world: World, app: Client) -> None:
    broken(world, 1)
    assert world.sign_in(app).access_token


def test_a_refresh_token_whose_reply_was_lost_is_sent_once_more(world: World) -> None:
    """A provider that forgives that for some seconds, or does not rotate, gives a new token."""
    sent: list[str] = []
    app = world.public(before=lambda request: sent.extend(parse_qs(request.body.decode()).get("refresh_token", [])))
    account = world.sign_in(app).account
    world.idp.rotation = "never"
    world.idp.fail_next("token", disconnect="after")
    assert app.acquire_token_silent(SCOPES, account, force_refresh=True).access_token
    assert len(sent) == 2
    assert len(set(sent)) == 1


def test_where_the_provider_forgives_nothing_the_user_is_asked_once(world: World, app: Client) -> None:
    """The token was all that there was: whether it is sent again now or by the next call, it ends the session."""
    account = world.sign_in(app).account
    world.idp.fail_next("token", disconnect="after")
    with pytest.raises(UiRequiredError, match="invalid_grant"):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert world.idp.counters.replays_detected == 1
    world.sign_in(app)
    assert app.acquire_token_silent(SCOPES, account, force_refresh=True).access_token


def test_each_sending_has_a_client_assertion_of_its_own(world: World) -> None:
    """A provider refuses one that it has seen (RFC 7523, section 3), and may have seen it although it failed."""
    sent: list[str] = []
    made = map(str, itertools.count())
    app = world.confidential(
        secret=ClientAssertion(lambda: f"assertion.{next(made)}.x"),
        before=lambda request: sent.extend(parse_qs(request.body.decode()).get("client_assertion", [])),
    )
    broken(world, 2)
    with pytest.raises(ServiceError):
        app.acquire_token_for_client(["api/.default"])
    assert sent == ["assertion.0.x", "assertion.1.x"]


# --- until it is answered ---


def again_after(*pauses: float) -> Callable[[Callable[[], HttpRequest], Stopwatch], Flow[Exchange]]:
    def pause_after(status: int, sent: int) -> float | None:
        return pauses[sent] if status >= 500 and sent < len(pauses) else None

    return lambda make, watch: sending.send_until_answered(make, watch, pause_after)


def test_it_is_sent_again_with_a_request_of_its_own_for_as_long_as_a_pause_is_named(hand: Hand) -> None:
    hand.how = again_after(1.0, 2.0)
    last = status(502)
    assert hand.send(status(500), status(501), last) is last
    assert (hand.pauses, len(hand.made)) == ([1.0, 2.0], 3)
    assert hand.send(status(500), OK) is OK
    assert hand.send(status(404)).status == 404


def test_it_is_not_sent_again_where_there_is_a_time_to_come_back_or_no_reply(hand: Hand) -> None:
    hand.how = again_after(1.0)
    assert hand.send(status(503, retry_after="1")).status == 503
    lost = failure("connection_failed")
    assert hand.send(lost) is lost
    assert hand.pauses == []


def test_its_requests_have_thirty_seconds_together_and_its_pauses_count_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hand = Hand(monkeypatch, seconds=12)
    hand.how = again_after(10.0, 10.0, 10.0)
    hand.send(*[status(500)] * 4)
    assert hand.timeouts == [30, 18, 6, 1]
    assert hand.watch.http_ms == pytest.approx(48_000)
