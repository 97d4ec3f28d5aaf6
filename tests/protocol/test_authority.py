from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.protocol.authority import CLOUDS, MAX_URL, Authority, parse_authority, request_authority

MSA_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
COMMON = parse_authority("https://login.microsoftonline.com/common")
ISSUER = parse_authority("https://idp.example.test/realms/one")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param(
            "https://login.microsoftonline.com/common",
            Authority(
                "entra",
                "https://login.microsoftonline.com/common",
                "login.microsoftonline.com",
                "common",
                "login.windows.net",
            ),
            id="entra",
        ),
        pytest.param(
            "HTTPS://LOGIN.Microsoft.com:443/Contoso.COM/v2.0/",
            Authority(
                "entra",
                "https://login.microsoft.com/contoso.com",
                "login.microsoft.com",
                "contoso.com",
                "login.windows.net",
            ),
            id="entra alias in capitals, default port, version",
        ),
        pytest.param(
            "https://login.chinacloudapi.cn/t",
            Authority(
                "entra",
                "https://login.chinacloudapi.cn/t",
                "login.chinacloudapi.cn",
                "t",
                "login.partner.microsoftonline.cn",
            ),
            id="entra china",
        ),
        pytest.param(
            "https://IdP.Example.test/Realms/One/",
            Authority(
                "oidc",
                "https://idp.example.test/Realms/One",
                "idp.example.test",
                "",
                "https://idp.example.test/Realms/One",
            ),
            id="oidc keeps the case of its path",
        ),
        pytest.param(
            "http://127.0.0.1:9400",
            Authority("oidc", "http://127.0.0.1:9400", "127.0.0.1:9400", "", "http://127.0.0.1:9400"),
            id="loopback with port",
        ),
        pytest.param(
            "http://[::1]:80/a",
            Authority("oidc", "http://[::1]/a", "[::1]", "", "http://[::1]/a"),
            id="ipv6 loopback, default port of http",
        ),
        pytest.param(
            "http://localhost/",
            Authority("oidc", "http://localhost", "localhost", "", "http://localhost"),
            id="localhost",
        ),
    ],
)
def test_good_authorities(url, expected):
    assert parse_authority(url) == expected


@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: cloud.hosts[0])
def test_all_aliases_of_a_cloud_share_one_cache_name(cloud):
    authorities = [parse_authority(f"https://{host}/t") for host in cloud.hosts]
    assert {authority.cache_name for authority in authorities} == {cloud.preferred_cache}
    assert [authority.environment for authority in authorities] == list(cloud.hosts)


HOSTILE = [
    "",
    "login.microsoftonline.com/common",
    "//login.microsoftonline.com/common",
    "https:login.microsoftonline.com/common",
    "https:/login.microsoftonline.com/common",
    "https:///common",
    "https://",
    "https://:443/common",
    "http://login.microsoftonline.com/common",
    "http://idp.example.test",
    "http://10.0.0.1/",
    "http://127.0.0.1.example.test/",
    "http://localhost.example.test/",
    "http://2130706433/",
    "http://127.1/",
    "https://2130706433/",
    "https://127.1/",
    "https://idp.example.0x7f/",
    "http://128.0.0.1/",
    "http://[::2]/",
    "http://[::1%25eth0]/",
    "ftp://idp.example.test/",
    "file:///etc/passwd",
    "javascript://idp.example.test/%0aalert(1)",
    "https://user@idp.example.test/",
    "https://user:password@idp.example.test/",
    "https://login.microsoftonline.com@evil.test/common",
    "https://@evil.test/common",
    "https://login.microsoftonline.com\\@evil.test/common",
    "https://evil.test\\login.microsoftonline.com/common",
    "https://idp.example.test/?x=1",
    "https://idp.example.test/?",
    "https://idp.example.test/#x",
    "https://idp.example.test/#",
    "https://idp.example.test/a/../b",
    "https://idp.example.test/..",
    "https://idp.example.test/%2e%2e/b",
    "https://idp.example.test/%252e%252e/b",
    "https://idp.example.test/./b",
    "https://idp.example.test/a//b",
    "https://idp.example.test/a%2fb",
    "https://idp.example.test/a%5cb",
    "https://idp.example.test/a%00b",
    "https://idp.example.test/a%0d%0ab",
    "https://idp.example.test/a b",
    " https://idp.example.test/",
    "https://idp.example.test/\n",
    "https://idp.exam\tple.test/",
    "https://idp.example.test/\x00",
    "https://idp.example.test:0/",
    "https://idp.example.test:/",
    "https://idp.example.test:65536/",
    "https://idp.example.test:x/",
    "https://idp..example.test/",
    "https://idp.example.test./",
    "https://.example.test/",
    "https://-idp.example.test/",
    "https://idp%2eexample.test/",
    "https://idp_example$.test/",
    "https://\u0456dp.example.test/",
    "https://[::1/",
    "https://[not-an-address]/",
    "https://login.microsoftonline.com:8443/common",
    "https://login.microsoftonline.com/common/oauth2/authorize",
    "https://login.microsoftonline.com/v2.0",
    "https://login.microsoftonline.com/a..b",
    "https://login.microsoftonline.com/a;b",
    "https://login.microsoftonline.com/{tenant}",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_authorities(url):
    with pytest.raises(ValueError, match=r"expected|Invalid IPv6|does not appear to be"):
        parse_authority(url)


@pytest.mark.parametrize("url", ["https://login.microsoftonline.com", "https://login.microsoftonline.com/"])
def test_entra_without_tenant_says_so(url):
    with pytest.raises(ValueError, match="expected a tenant after https"):
        parse_authority(url)


def test_the_longest_url():
    longest = "https://idp.example.test/".ljust(MAX_URL, "a")
    assert parse_authority(longest).url == longest
    with pytest.raises(ValueError, match="at most 2048 characters"):
        parse_authority(longest + "a")


def test_a_password_is_not_shown():
    with pytest.raises(ValueError, match="without user name") as caught:
        parse_authority("https://user:hunter2@idp.example.test/")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", [None, b"https://idp.example.test", 5, ["https://idp.example.test"]])
def test_wrong_types(url):
    with pytest.raises(TypeError, match="expected an authority as a string"):
        parse_authority(url)


def test_metadata_urls():
    assert COMMON.metadata_url == "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
    assert ISSUER.metadata_url == "https://idp.example.test/realms/one/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("tenant", "expected"), [("common", True), ("Organizations", True), ("consumers", False), ("t", False)]
)
def test_tenantless(tenant, expected):
    assert parse_authority(f"https://login.microsoftonline.com/{tenant}").is_tenantless is expected


def test_an_issuer_with_the_word_common_is_not_tenantless():
    assert not parse_authority("https://idp.example.test/common").is_tenantless


def test_with_tenant():
    assert COMMON.with_tenant("Contoso.com") == parse_authority("https://login.microsoftonline.com/contoso.com")


@pytest.mark.parametrize("tenant", ["", "a/b", "..", "a b", "a?b", "a#b", "a\\b", "a@b", "v2.0", "é", "a\n", "x" * 254])
def test_with_a_tenant_that_is_none(tenant):
    with pytest.raises(ValueError, match="expected a tenant id or a domain name"):
        COMMON.with_tenant(tenant)


@pytest.mark.parametrize(
    ("configured", "home_account_id", "tenant_id", "expected"),
    [
        pytest.param("common", "u.home", None, "home", id="common becomes the home tenant"),
        pytest.param("organizations", "u.home", None, "home", id="organizations becomes the home tenant"),
        pytest.param("common", "u.with.dots.home", None, "home", id="text after the last dot"),
        pytest.param("common", f"u.{MSA_TENANT}", None, MSA_TENANT, id="a personal account's home"),
        pytest.param("common", None, None, "common", id="no account"),
        pytest.param("common", "no-dot", None, "common", id="home account id without tenant"),
        pytest.param("common", "u.", None, "common", id="home account id with an empty tenant"),
        pytest.param("consumers", "u.home", None, "consumers", id="consumers stays"),
        pytest.param(MSA_TENANT, "u.home", None, MSA_TENANT, id="the tenant of personal accounts stays"),
        pytest.param("contoso.com", "u.home", None, "contoso.com", id="a named tenant stays"),
        pytest.param("common", "u.home", "other", "other", id="override"),
        pytest.param("contoso.com", "u.home", "other", "other", id="override of a named tenant"),
        pytest.param("common", "u.home", "consumers", "consumers", id="override with consumers"),
        pytest.param("common", "u.home", "common", "home", id="override with common is ignored"),
        pytest.param("contoso.com", "u.home", "Organizations", "contoso.com", id="override with organizations too"),
    ],
)
def test_request_authority(configured, home_account_id, tenant_id, expected):
    authority = parse_authority(f"https://login.microsoftonline.com/{configured}")
    assert request_authority(authority, home_account_id, tenant_id) == authority.with_tenant(expected)


def test_request_authority_of_an_issuer():
    assert request_authority(ISSUER, "u.home", None) is ISSUER
    with pytest.raises(ValueError, match="no Microsoft Entra authority"):
        request_authority(ISSUER, "u.home", "t")


def test_request_authority_refuses_an_empty_override():
    with pytest.raises(ValueError, match="expected a tenant id"):
        request_authority(COMMON, "u.home", "")


@given(st.text() | st.from_regex(r"https?://[^\n]*", fullmatch=True))
def test_what_is_accepted_is_canonical(url):
    try:
        authority = parse_authority(url)
    except ValueError:
        return
    assert parse_authority(authority.url) == authority
    assert re.fullmatch(r"https?://[\x21-\x7e]*[^/]", authority.url)
