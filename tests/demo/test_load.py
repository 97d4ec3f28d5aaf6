from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from warmtoken import Account, UiRequiredError
from warmtoken.demo import load as load_module
from warmtoken.demo.figures import Figures
from warmtoken.demo.load import BATCH, Load, Token
from warmtoken.demo.stage import SCOPES

ACCOUNT = Account("user", "issuer.example")
SECONDS = 0.3
WAIT = 2.0  # seconds that the user takes


@dataclass(frozen=True)
class FakeToken:
    access_token: str = "token"
    expires_on: int = 2**40


class Stopwatch:
    """In place of the module time: a millisecond goes by with each look at it, and what is slept, and nothing else."""

    time = staticmethod(time.time)

    def __init__(self) -> None:
        self._now = 0

    def perf_counter_ns(self) -> int:
        self._now += 1_000_000
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += int(seconds * 1e9)


@pytest.fixture(autouse=True)
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    made = Stopwatch()
    monkeypatch.setattr(load_module, "time", made)
    return made


def run(acquire: Callable[[list[str], Account], Token], *, hit: bool = True, asked: list[str] | None = None) -> Figures:
    codes = [] if asked is None else asked
    figures = Figures()
    load = Load(acquire, lambda _: hit, ACCOUNT, report=figures.add, ask=lambda error: codes.append(error.code))
    figures.add(load.run(SECONDS))
    return figures


def test_calls_with_the_scopes_and_the_account_are_counted_as_hits() -> None:
    token, calls = FakeToken(), list[tuple[list[str], Account]]()

    def acquire(scopes: list[str], account: Account) -> FakeToken:
        calls.append((scopes, account))
        return token

    figures = run(acquire)
    assert figures.hits == len(calls)
    assert calls[0] == (SCOPES, ACCOUNT)
    assert figures.latencies.total() == len(calls) // (BATCH + 1)
    assert figures.errors == []


def test_tokens_from_the_provider_are_no_hits() -> None:
    assert run(lambda _scopes, _account: FakeToken(), hit=False).hits == 0


def test_an_expired_token_is_an_error() -> None:
    figures = run(lambda _scopes, _account: FakeToken(expires_on=int(time.time()) - 1))
    assert "an expired token was handed out" in figures.errors[0]


def test_whatever_a_call_raises_is_counted_and_the_load_goes_on() -> None:
    def acquire(_scopes: list[str], _account: Account) -> Token:
        raise ZeroDivisionError("by zero")

    figures = run(acquire)
    assert figures.hits == 0
    assert len(figures.errors) > 1
    assert set(figures.errors) == {"ZeroDivisionError: by zero"}


def test_waiting_for_the_user_is_no_error_and_no_time_under_load(stopwatch: Stopwatch) -> None:
    calls, token = 0, FakeToken()

    def acquire(_scopes: list[str], _account: Account) -> Token:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise UiRequiredError("invalid_grant", "the token was revoked")
        return token

    figures = Figures()
    load = Load(acquire, lambda _: True, ACCOUNT, report=figures.add, ask=lambda _: stopwatch.sleep(WAIT))
    figures.add(load.run(SECONDS))
    assert figures.errors == []
    assert figures.hits == calls - 1 > 0
    assert SECONDS <= figures.seconds < WAIT
