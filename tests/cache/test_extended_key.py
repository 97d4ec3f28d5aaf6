"""The extended key stands for one map of components, and the map can be read from it."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.cache.extended_key import components_of, extended_key

TEXTS = st.text("ab1:{é", max_size=4)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=4)


def test_nothing_is_nothing() -> None:
    assert extended_key({}) == ""
    assert components_of("") == {}


def test_names_and_values_are_netstrings_by_name() -> None:
    assert extended_key({"b": "é", "a": ""}) == "1:a0:1:b2:é"


@given(MAPS, MAPS)
def test_two_maps_never_have_one_key(first: dict[str, str], second: dict[str, str]) -> None:
    assert (extended_key(first) == extended_key(second)) == (first == second)


@given(MAPS)
def test_the_map_can_be_read_again(components: dict[str, str]) -> None:
    assert components_of(extended_key(components)) == components


@pytest.mark.parametrize(
    "text",
    ["x", "1:a", "1:a1", "1:a5:b", "01:a1:b", "1:b1:x1:a1:y", "1:a1:x1:a1:y", "-1:a1:b", "1:a1:é", "9" * 9_000 + ":a"],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  int() and decode() have words of their own
        components_of(text)


def test_its_hash_is_the_one_that_msal_python_keeps() -> None:
    """As MSAL Python 1.39.0 makes it, in lower case, of the same map."""
    digest = hashlib.sha256(extended_key({"client_claims": '{"a":1}', "other": "é"}).encode()).digest()
    assert (
        base64.urlsafe_b64encode(digest).decode().rstrip("=").lower() == "pemr6zhy4wxokanwtbls4gdrwutzr2wzjlzla-8pnvc"
    )
