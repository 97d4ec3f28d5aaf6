"""Who fetches, and who waits for it."""

from __future__ import annotations

import threading

import pytest

from warmtoken.cache import flights as flights_module
from warmtoken.cache.flights import Attempts, Flight, Flights


def test_the_first_leads_and_the_others_join() -> None:
    flights = Flights()
    flight, leading = flights.join(b"key", "need")
    assert leading
    assert flights.join(b"key", "another need") == (flight, False)
    other, leads = flights.join(b"other", "need")
    assert leads
    assert other is not flight
    assert flight.need == "need"


def test_after_landing_the_next_one_leads() -> None:
    flights = Flights()
    flight, _ = flights.join(b"key", None)
    flights.land(b"key")
    assert flight.done.is_set()
    again, leading = flights.join(b"key", None)
    assert leading
    assert again is not flight


def test_callbacks_run_once_when_the_flight_ends_or_at_once_after() -> None:
    flight, calls = Flight(None), list[str]()
    flight.when_done(lambda: calls.append("waited"))
    assert calls == []
    flight.finish()
    flight.finish()
    flight.when_done(lambda: calls.append("late"))
    assert calls == ["waited", "late"]


def test_of_many_threads_one_leads_and_all_wake() -> None:
    flights, leaders, woken = Flights(), list[int](), list[int]()
    joined = threading.Barrier(17)

    def take_part(number: int) -> None:
        flight, leading = flights.join(b"key", None)
        joined.wait()
        if leading:
            leaders.append(number)
            flight.result = "fetched"
            flights.land(b"key")
        assert flight.done.wait(60)
        assert flight.result == "fetched"
        woken.append(number)

    threads = [threading.Thread(target=take_part, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    joined.wait()
    for thread in threads:
        thread.join()
    assert len(leaders) == 1
    assert sorted(woken) == list(range(16))


def test_an_attempt_is_made_again_after_the_pause() -> None:
    attempts = Attempts()
    assert attempts.begin("one", 100.0, 30.0)
    assert not attempts.begin("one", 129.9, 30.0)
    assert attempts.begin("another", 100.0, 30.0)
    assert attempts.begin("one", 130.0, 30.0)
    assert not attempts.begin("one", 130.1, 30.0)


def test_of_many_attempts_those_that_count_no_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "_KEPT_ATTEMPTS", 3)
    attempts = Attempts()
    for number in range(3):
        attempts.begin(number, 100.0 + number, 30.0)
    assert attempts.begin("new", 131.5, 30.0)
    assert set(attempts._until) == {2, "new"}
    assert not attempts.begin(2, 131.6, 30.0)
