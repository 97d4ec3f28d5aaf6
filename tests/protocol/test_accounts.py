from __future__ import annotations

import pytest

from warmtoken.errors import ProtocolError
from warmtoken.models import Account
from warmtoken.protocol.accounts import account_from
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.token_reply import TokenReply

ENTRA = parse_authority("https://login.microsoftonline.com/common")
ISSUER = parse_authority("http://127.0.0.1:9400")
CLIENT_INFO = {"uid": "u", "utid": "home"}
CLAIMS = {"sub": "s", "oid": "o", "tid": "guest", "preferred_username": "ada@example.test", "name": "Ada"}


def reply(client_info=None):
    return TokenReply("at", "Bearer", 300, client_info=client_info)


def test_entra():
    account = account_from(reply(CLIENT_INFO), CLAIMS, ENTRA, source="authorization_code")
    assert account == Account(
        "u.home", "login.microsoftonline.com", "ada@example.test", "guest", "o", "Ada", "authorization_code"
    )


def test_another_issuer():
    account = account_from(reply(), {"sub": "s", "name": "Ada", "tid": "t"}, ISSUER, source="device_code_flow")
    assert account == Account("s", "127.0.0.1:9400", "Ada", "", "s", "Ada", "device_code_flow")


def test_client_info_of_another_issuer_does_not_count():
    assert account_from(reply(CLIENT_INFO), CLAIMS, ISSUER, source="x").home_account_id == "s"


def test_a_user_of_b2c_is_named_with_the_user_flow_and_the_tenant_that_was_asked():
    """MSAL.NET: the id is `{oid}-{flow}.{tid}`; B2C's id tokens need not say the tenant."""
    authority = parse_authority("https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_susi")
    claims = {"sub": "s", "name": "Ada", "emails": ["ada@example.test"]}
    account = account_from(reply({"uid": "o-b2c_1_susi", "utid": "home"}), claims, authority, source="x")
    assert (account.home_account_id, account.tenant_id) == ("o-b2c_1_susi.home", "contoso.onmicrosoft.com")
    assert account_from(reply(), {**claims, "tid": "t"}, authority, source="x").tenant_id == "t"


@pytest.mark.parametrize("url", ["https://contoso.ciamlogin.com", "https://dsts.core.test/dstsv2/home"])
def test_client_info_counts_where_entras_dialect_is_spoken(url):
    account = account_from(reply(CLIENT_INFO), CLAIMS, parse_authority(url), source="x")
    assert (account.home_account_id, account.tenant_id) == ("u.home", "guest")


def test_a_user_of_ad_fs_is_named_by_sub_and_has_no_tenant():
    authority = parse_authority("https://fs.contoso.test/adfs")
    account = account_from(
        reply(CLIENT_INFO), {"sub": "s", "tid": "t", "upn": "ada@contoso.test"}, authority, source="x"
    )
    assert (account.home_account_id, account.tenant_id, account.username) == ("s", "", "ada@contoso.test")


@pytest.mark.parametrize(
    "client_info", [None, {}, {"uid": "u"}, {"utid": "t"}, {"uid": "", "utid": "t"}, {"uid": 1, "utid": 2}]
)
def test_entra_without_client_info(client_info):
    assert account_from(reply(client_info), CLAIMS, ENTRA, source="x").home_account_id == "s"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"preferred_username": "p", "upn": "u", "email": "e", "name": "n"}, "p"),
        ({"upn": "u", "email": "e", "name": "n"}, "u"),
        ({"email": "e", "name": "n"}, "e"),
        ({"name": "n"}, "n"),
        ({"preferred_username": "", "email": "e"}, "e"),
        ({"preferred_username": 5, "upn": None, "email": "e"}, "e"),
        ({}, ""),
    ],
)
def test_username(claims, expected):
    assert account_from(reply(), {"sub": "s", **claims}, ISSUER, source="x").username == expected


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": 5}, {"oid": "o"}])
def test_a_reply_that_names_nobody(claims):
    with pytest.raises(ProtocolError, match="openid") as caught:
        account_from(reply(), claims, ENTRA, source="x")
    assert caught.value.code == "account_missing"
