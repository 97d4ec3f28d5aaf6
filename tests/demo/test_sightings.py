from __future__ import annotations

import pickle

import pytest

from warmtoken.demo.sightings import Sightings
from warmtoken.demo.stage import MARGIN

END = 1_000  # when the first token expires


def after_sign_in() -> Sightings:
    sightings = Sightings()
    sightings.see_sign_in("first", END, END - 3)
    return sightings


@pytest.mark.parametrize(
    ("seen_at", "expiries"),
    [(END - MARGIN - 0.001, 0), (END - MARGIN, 1), (END + 5, 1)],
    ids=["before the margin", "at the margin", "long after"],
)
def test_a_token_expired_if_its_successor_came_when_it_was_used_no_more(seen_at: float, expiries: int) -> None:
    sightings = after_sign_in()
    sightings.see("second", END + 3, seen_at)
    assert sightings.expiries() == expiries


def test_two_refreshes_at_one_expiry_are_one_expiry() -> None:
    sightings = after_sign_in()
    sightings.see("second", END + 3, END)
    sightings.see("third", END + 3, END + 0.01)
    assert sightings.expiries() == 1


def test_a_token_that_a_sign_in_succeeded_does_not_count() -> None:
    sightings = after_sign_in()
    sightings.see_sign_in("second", END + 3, END)
    assert sightings.expiries() == 0


def test_a_token_that_was_the_last_does_not_count() -> None:
    assert after_sign_in().expiries() == 0


def test_the_first_sighting_of_all_workers_decides() -> None:
    late, early = after_sign_in(), Sightings()
    late.see("second", END + 3, END + 1)
    early.see("second", END + 3, END - 1)
    late.merge(early)
    assert late.expiries() == 0


def test_what_is_sent_between_processes_holds_no_token() -> None:
    sightings = Sightings()
    sightings.see_sign_in("a-secret-token", END, END - 3)
    assert b"a-secret-token" not in pickle.dumps(sightings)
