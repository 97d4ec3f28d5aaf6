from __future__ import annotations

import pytest

from warmtoken.models import Account
from warmtoken.protocol.entra_headers import mailbox_of, mailbox_of_hint


@pytest.mark.parametrize(
    ("home_account_id", "expected"),
    [
        pytest.param("u.t", "oid:u@t", id="user and tenant"),
        pytest.param("u.v.t", "oid:u.v@t", id="the last dot counts"),
        pytest.param("subject", "", id="no tenant"),
        pytest.param("u\r\nx: y.t", "", id="no header of its own"),
        pytest.param("ü.t", "", id="not ASCII"),
    ],
)
def test_the_mailbox_of_an_account(home_account_id, expected):
    assert mailbox_of(Account(home_account_id, "login.microsoftonline.com")) == expected


def test_nobody_has_no_mailbox():
    assert mailbox_of(None) == ""
    assert mailbox_of_hint(None) == ""


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("ada@example.test", "upn:ada@example.test"),
        ("ada@example.test ", "upn:ada@example.test"),
        ("a\nb", ""),
        ("é@example.test", ""),
    ],
)
def test_the_mailbox_of_a_hint(hint, expected):
    assert mailbox_of_hint(hint) == expected
