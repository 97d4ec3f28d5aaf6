from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.protocol.scopes import RESERVED, check_scopes, covers, lookup_scopes, settled_scopes, wire_scopes

scope_tokens = st.from_regex(r"[\x21\x23-\x5b\x5d-\x7e]{1,12}", fullmatch=True)


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        pytest.param(["User.Read"], ("User.Read",), id="one"),
        pytest.param(["b", "a"], ("b", "a"), id="order kept"),
        pytest.param(["User.Read", "user.read", "a"], ("User.Read", "a"), id="first spelling of a duplicate kept"),
        pytest.param([], (), id="none"),
        pytest.param(("openid",), ("openid",), id="reserved is allowed"),
        pytest.param(iter(["a"]), ("a",), id="any iterable"),
        pytest.param(["!", "#", "[", "]", "~"], ("!", "#", "[", "]", "~"), id="edges of the character ranges"),
    ],
)
def test_good_scopes(scopes, expected):
    assert check_scopes(scopes) == expected


@pytest.mark.parametrize("scopes", ["User.Read", b"User.Read", None, 5, [None], [b"a"], ["a", 1]])
def test_wrong_types_of_scopes(scopes):
    with pytest.raises(TypeError):
        check_scopes(scopes)


@pytest.mark.parametrize("scope", ["", " ", "a b", "a\t", "a\n", '"', "\\", "\x7f", "\x00", "é", "a\u2028"])
def test_wrong_characters_of_scopes(scope):
    with pytest.raises(ValueError, match="expected a scope of visible ASCII"):
        check_scopes([scope])


@pytest.mark.parametrize("scopes", [(None,), ([],), (1,), ({"a"},)])
def test_wrong_types_are_told_whether_they_can_be_kept_or_not(scopes):
    with pytest.raises(TypeError, match="expected each scope as a string"):
        settled_scopes(scopes)


def test_settled_scopes_are_checked_and_folded():
    assert settled_scopes(("User.Read", "openid", "user.read", "Files.Read")) == ("files.read", "user.read")
    with pytest.raises(ValueError, match="visible ASCII"):
        settled_scopes(("a b",))


def test_a_bare_string_is_answered_with_an_example():
    with pytest.raises(TypeError, match=re.escape("['User.Read']")):
        check_scopes("User.Read")


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        pytest.param(["User.Read", "A"], ("a", "user.read"), id="folded and sorted"),
        pytest.param(["OpenID", "PROFILE", "Offline_Access"], (), id="reserved in any case"),
        pytest.param(["a", "A", "a"], ("a",), id="each once"),
    ],
)
def test_lookup_scopes(scopes, expected):
    assert lookup_scopes(scopes) == expected


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        pytest.param([], "offline_access openid profile", id="reserved alone"),
        pytest.param(["User.Read"], "offline_access openid profile User.Read", id="sorted ignoring case, as typed"),
        pytest.param(["OpenID", "a"], "a offline_access OpenID profile", id="reserved as typed, not twice"),
    ],
)
def test_wire_scopes(scopes, expected):
    assert wire_scopes(scopes) == expected


@pytest.mark.parametrize(
    ("granted", "asked", "expected"),
    [
        pytest.param(["a", "b"], ["a"], True, id="more granted"),
        pytest.param(["a"], ["a", "b"], False, id="less granted"),
        pytest.param(["User.Read"], ["user.read"], True, id="case"),
        pytest.param(["a"], ["a", "openid", "offline_access"], True, id="reserved do not count"),
        pytest.param([], [], True, id="nothing asked"),
        pytest.param([], ["a"], False, id="nothing granted"),
        pytest.param(["user.read"], ["user"], False, id="a prefix is another scope"),
    ],
)
def test_covers(granted, asked, expected):
    assert covers(granted, asked) is expected


@given(st.lists(scope_tokens))
def test_wire_scopes_hold_each_scope_and_the_reserved_once(scopes):
    sent = [scope.casefold() for scope in wire_scopes(check_scopes(scopes)).split(" ")]
    assert sorted(sent) == sent
    assert len(sent) == len(set(sent))
    assert set(sent) == {scope.casefold() for scope in scopes} | RESERVED


@given(st.lists(scope_tokens), st.randoms())
def test_lookup_scopes_ignore_order_case_and_reserved(scopes, random):
    other = [scope.swapcase() for scope in scopes] + ["OPENID"]
    random.shuffle(other)
    assert lookup_scopes(other) == lookup_scopes(scopes)
    assert covers(scopes, other)


@given(st.lists(st.text(max_size=5) | st.integers() | st.none()))
def test_check_scopes_raises_nothing_else(scopes):
    try:
        checked = check_scopes(scopes)
    except (TypeError, ValueError):
        return
    assert all(re.fullmatch(r"[\x21-\x7e]+", scope) for scope in checked)
