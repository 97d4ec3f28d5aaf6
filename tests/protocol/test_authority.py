from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.protocol.authority import CLOUDS, MAX_URL, Authority, parse_authority, request_authority

MSA_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
COMMON = parse_authority("https://login.microsoftonline.com/common")
ISSUER = parse_authority("https://idp.example.test/realms/one")
GUID = "0f0e0d0c-1111-4c40-97bc-f7a23c703084"
OTHER_GUID = "3a7e1d2c-2222-4c40-97bc-f7a23c703084"
B2C = parse_authority("https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/b2c_1_susi")
B2C_BY_ID = parse_authority(f"https://contoso.b2clogin.com/{GUID}/b2c_1_susi")
CIAM = parse_authority("https://contoso.ciamlogin.com")
DSTS = parse_authority(f"https://dsts.core.test/dstsv2/{GUID}")
DSTS_COMMON = parse_authority("https://dsts.core.test/dstsv2/common")
ADFS = parse_authority("https://fs.contoso.test/adfs")


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
        pytest.param(
            "https://Contoso.B2CLogin.com/TFP/Contoso.onmicrosoft.com/B2C_1_Susi/v2.0/",
            Authority(
                "b2c",
                "https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/b2c_1_susi",
                "contoso.b2clogin.com",
                "contoso.onmicrosoft.com",
                "https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/b2c_1_susi",
            ),
            id="b2c with tfp, in capitals, version",
        ),
        pytest.param(
            "https://contoso.b2clogin.cn/contoso.partner.onmschina.cn/b2c_1_susi",
            Authority(
                "b2c",
                "https://contoso.b2clogin.cn/contoso.partner.onmschina.cn/b2c_1_susi",
                "contoso.b2clogin.cn",
                "contoso.partner.onmschina.cn",
                "https://contoso.b2clogin.cn/tfp/contoso.partner.onmschina.cn/b2c_1_susi",
            ),
            id="b2c without tfp, the same name in the cache",
        ),
        pytest.param(
            f"https://login.contoso.test:8443/tfp/{GUID}/B2C_1A_Signup-Signin",
            Authority(
                "b2c",
                f"https://login.contoso.test:8443/tfp/{GUID}/b2c_1a_signup-signin",
                "login.contoso.test:8443",
                GUID,
                f"https://login.contoso.test:8443/tfp/{GUID}/b2c_1a_signup-signin",
            ),
            id="b2c on a host of the tenant's",
        ),
        pytest.param(
            "https://Contoso.ciamlogin.com/",
            Authority(
                "ciam",
                "https://contoso.ciamlogin.com/contoso.onmicrosoft.com",
                "contoso.ciamlogin.com",
                "contoso.onmicrosoft.com",
                "contoso.ciamlogin.com",
            ),
            id="ciam by its host alone",
        ),
        pytest.param(
            f"https://contoso.ciamlogin.com/{GUID}/v2.0",
            Authority(
                "ciam",
                f"https://contoso.ciamlogin.com/{GUID}",
                "contoso.ciamlogin.com",
                GUID,
                "contoso.ciamlogin.com",
            ),
            id="ciam with a tenant",
        ),
        pytest.param(
            f"https://{GUID}.ciamlogin.com",
            Authority(
                "ciam",
                f"https://{GUID}.ciamlogin.com/{GUID}",
                f"{GUID}.ciamlogin.com",
                GUID,
                f"{GUID}.ciamlogin.com",
            ),
            id="ciam by a host that is the tenant's id",
        ),
        pytest.param(
            f"https://region-dsts.dsts.core.test/dstsv2/{GUID.upper()}/",
            Authority(
                "dsts",
                f"https://region-dsts.dsts.core.test/dstsv2/{GUID}",
                "region-dsts.dsts.core.test",
                GUID,
                "region-dsts.dsts.core.test",
            ),
            id="dsts",
        ),
        pytest.param(
            "https://fs.contoso.test/adfs/",
            Authority("adfs", "https://fs.contoso.test/adfs", "fs.contoso.test", "", "https://fs.contoso.test/adfs"),
            id="adfs",
        ),
    ],
)
def test_good_authorities(url, expected):
    assert parse_authority(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example.test/adfs/realm",
        "https://idp.example.test/ADFS",
        "https://idp.example.test/realms/adfs",
        "https://idp.example.test/tfp",
        "https://idp.example.test/tfp/tenant",
        "https://idp.example.test/tfp/tenant/flow/more",
        "https://idp.example.test/tfp/tenant/a.flow",
        "https://idp.example.test/tfp2/tenant/flow",
        "https://idp.example.test/x/tfp/tenant/flow",
        "https://idp.example.test/dstsv2",
        "https://idp.example.test/dstsv2/a/b",
        "https://idp.example.test/contoso.onmicrosoft.com/b2c_1_susi",
        "https://b2clogin.com/tenant/flow",
        "https://ciamlogin.com/tenant",
        "https://evilb2clogin.com/tenant/flow",
        "https://evilciamlogin.com/tenant",
        "https://contoso.b2clogin.com.evil.test/tenant/flow",
        "https://contoso.ciamlogin.com.evil.test/tenant",
        "https://login.microsoftonline.com.evil.test/common",
        "https://login.unknown-cloud.test/common",
    ],
)
def test_what_only_looks_like_a_service_of_microsoft_is_a_plain_issuer(url):
    """A host is B2C's or External ID's by its exact suffix, Entra's by its whole name; none is asked over the net."""
    authority = parse_authority(url)
    assert (authority.kind, authority.url, authority.tenant) == ("oidc", url, "")
    assert (authority.takes_tenants, authority.is_tenantless, authority.speaks_entra) == (False, False, False)
    assert authority.issuer_template == url
    assert authority.names_issuer(url)


@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: cloud.hosts[0])
def test_all_aliases_of_a_cloud_share_one_cache_name(cloud):
    authorities = [parse_authority(f"https://{host}/t") for host in cloud.hosts]
    assert {authority.cache_name for authority in authorities} == {cloud.preferred_cache}
    assert [authority.environment for authority in authorities] == list(cloud.hosts)


@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: cloud.preferred_cache)
def test_the_authority_in_another_cloud_has_the_same_tenant_at_that_clouds_first_host(cloud):
    for host in cloud.hosts:
        assert COMMON.in_cloud(host) == parse_authority(f"https://{cloud.issuer_host}/common")
        assert COMMON.with_tenant(GUID).in_cloud(host) == parse_authority(f"https://{cloud.issuer_host}/{GUID}")


@pytest.mark.parametrize("host", ["idp.example.test", "contoso.ciamlogin.com", "LOGIN.MICROSOFTONLINE.US", ""])
def test_no_other_host_is_a_cloud(host):
    with pytest.raises(ValueError, match="expected a host of a known Microsoft Entra cloud"):
        COMMON.in_cloud(host)


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
    "https://[v1.idp.example.test]/",
    "https://idp.example.test[::1]/",
    "https://[::1]idp.example.test/",
    "https://[::1]x:8443/",
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
    "https://login.microsoftonline.com/tfp/tenant/b2c_1_susi",
    "https://login.microsoftonline.com/dstsv2/tenant",
    "https://contoso.b2clogin.com",
    "https://contoso.b2clogin.com/tenant",
    "https://contoso.b2clogin.com/tfp/tenant",
    "https://contoso.b2clogin.com/tenant/flow/more",
    "https://contoso.b2clogin.com/x/tenant/flow",
    "https://contoso.b2clogin.com/a..b/flow",
    "https://contoso.b2clogin.com/tenant/fl;ow",
    "https://contoso.b2clogin.com/tenant/v2.0",
    "https://contoso.b2clogin.com:8443/tenant/flow",
    "http://contoso.b2clogin.com/tenant/flow",
    "https://contoso.ciamlogin.com/tenant/more",
    "https://contoso.ciamlogin.com/v2.0",
    "https://contoso.ciamlogin.com/a..b",
    "https://contoso.ciamlogin.com:8443/tenant",
    "https://contoso..ciamlogin.com/",
    "https://.ciamlogin.com/",
    "https://user@contoso.ciamlogin.com/",
    "https://idp.example.test/tfp/../tfp/tenant/flow",
    "https://idp.example.test/tfp%2ftenant/flow",
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


@pytest.mark.parametrize(
    ("authority", "url"),
    [
        (B2C, "https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/b2c_1_susi/v2.0/.well-known/"),
        (B2C_BY_ID, f"https://contoso.b2clogin.com/{GUID}/b2c_1_susi/v2.0/.well-known/"),
        (CIAM, "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/v2.0/.well-known/"),
        (DSTS, f"https://dsts.core.test/dstsv2/{GUID}/v2.0/.well-known/"),
        (ADFS, "https://fs.contoso.test/adfs/.well-known/"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_metadata_urls_of_each_kind(authority, url):
    assert authority.metadata_url == url + "openid-configuration"


@pytest.mark.parametrize(
    ("authority", "issuer"),
    [
        pytest.param(B2C, f"https://contoso.b2clogin.com/{GUID}/v2.0/", id="b2c"),
        pytest.param(B2C, f"https://contoso.b2clogin.com/tfp/{GUID}/b2c_1_susi/v2.0/", id="b2c with its flow"),
        pytest.param(B2C, f"https://contoso.b2clogin.com/tfp/{GUID}/B2C_1_susi/v2.0/", id="b2c, flow in capitals"),
        pytest.param(B2C_BY_ID, f"https://contoso.b2clogin.com/{GUID}/v2.0/", id="b2c by its id"),
        pytest.param(ADFS, "https://fs.contoso.test/adfs", id="adfs"),
    ],
)
def test_issuers_that_metadata_may_name(authority, issuer):
    assert authority.names_issuer(issuer)


@pytest.mark.parametrize(
    ("authority", "issuer"),
    [
        pytest.param(B2C, f"https://evil.b2clogin.com/{GUID}/v2.0/", id="b2c of another tenant's host"),
        pytest.param(B2C, f"https://contoso.b2clogin.com.evil.test/{GUID}/v2.0/", id="b2c of a host that begins so"),
        pytest.param(B2C, f"http://contoso.b2clogin.com/{GUID}/v2.0/", id="b2c without TLS"),
        pytest.param(B2C, f"https://contosoxb2clogin.com/{GUID}/v2.0/", id="b2c, any character for a dot"),
        pytest.param(B2C, "https://contoso.b2clogin.com/contoso.onmicrosoft.com/v2.0/", id="b2c, no id"),
        pytest.param(B2C, f"https://contoso.b2clogin.com/tfp/{GUID}/b2c_1_edit/v2.0/", id="b2c, another flow"),
        pytest.param(B2C, f"https://contoso.b2clogin.com/{GUID}/b2c_1_susi/v2.0/", id="b2c, a flow without tfp"),
        pytest.param(B2C, f"https://contoso.b2clogin.com/tfp/{GUID}/v2.0/", id="b2c, tfp without a flow"),
        pytest.param(B2C, f"https://contoso.b2clogin.com/{GUID}/v2.0/x", id="b2c, a longer path"),
        pytest.param(B2C, f"https://contoso.b2clogin.com/{GUID}/v2.0/\n", id="b2c, a line break"),
        pytest.param(B2C, B2C.url, id="b2c, its URL"),
        pytest.param(B2C, None, id="b2c, none"),
        pytest.param(B2C, [f"https://contoso.b2clogin.com/{GUID}/v2.0/"], id="b2c, a list"),
        pytest.param(B2C_BY_ID, f"https://contoso.b2clogin.com/{OTHER_GUID}/v2.0/", id="b2c, another tenant's id"),
        pytest.param(ADFS, "http://fs.contoso.test/adfs/services/trust", id="adfs, its access tokens' issuer"),
        pytest.param(ADFS, "https://fs.contoso.test", id="adfs, its host"),
        pytest.param(ISSUER, f"https://{GUID}.ciamlogin.com/{GUID}/v2.0", id="ciam behind a host of its own"),
        pytest.param(ISSUER, "https://login.microsoftonline.com/realms/v2.0", id="a known host"),
        pytest.param(ISSUER, "https://idp.example.test/realms/two", id="the same host"),
    ],
)
def test_issuers_that_metadata_may_not_name(authority, issuer):
    """MSAL takes any issuer on the same host, and on any known host; a mix-up of two issuers would go unseen."""
    assert not authority.names_issuer(issuer)


def test_the_issuer_of_external_id_names_the_tenants_id_twice():
    assert CIAM.issuer_template == "https://{tenantid}.ciamlogin.com/{tenantid}/v2.0"


@pytest.mark.parametrize(
    ("url", "account_type"),
    [
        (COMMON.url, "MSSTS"),
        (B2C.url, "MSSTS"),
        (CIAM.url, "MSSTS"),
        (DSTS.url, "MSSTS"),
        (ADFS.url, "ADFS"),
        (ISSUER.url, "OIDC"),
    ],
)
def test_accounts_are_called_as_in_msals_cache(url, account_type):
    assert parse_authority(url).account_type == account_type


@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: cloud.hosts[0])
def test_accounts_under_any_alias_of_a_cloud_are_its_own_and_no_others(cloud):
    for host in cloud.hosts:
        authority = parse_authority(f"https://{host}/t")
        for other in CLOUDS:
            for environment in other.hosts:
                assert authority.issues_for(environment.upper()) is (other is cloud)


@pytest.mark.parametrize("authority", [B2C, CIAM, DSTS, ADFS, ISSUER], ids=lambda authority: authority.kind)
def test_where_there_are_no_aliases_accounts_belong_to_their_host(authority):
    assert authority.issues_for(authority.environment.upper())
    assert not authority.issues_for("login.microsoftonline.com")
    assert not authority.issues_for(f"evil-{authority.environment}")


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


@pytest.mark.parametrize(
    ("configured", "home_account_id", "tenant_id", "expected"),
    [
        pytest.param(CIAM, f"u.{GUID}", None, CIAM.url, id="ciam stays"),
        pytest.param(CIAM, f"u.{GUID}", OTHER_GUID, f"https://contoso.ciamlogin.com/{OTHER_GUID}", id="ciam, override"),
        pytest.param(CIAM, f"u.{GUID}", "common", CIAM.url, id="ciam, override with common is ignored"),
        pytest.param(DSTS_COMMON, f"u.{GUID}", None, DSTS.url, id="dsts, common becomes the home tenant"),
        pytest.param(DSTS, f"u.{OTHER_GUID}", None, DSTS.url, id="dsts, a named tenant stays"),
        pytest.param(DSTS, None, OTHER_GUID, f"https://dsts.core.test/dstsv2/{OTHER_GUID}", id="dsts, override"),
        pytest.param(DSTS, f"u.{GUID}", "organizations", DSTS.url, id="dsts, override with organizations is ignored"),
        pytest.param(B2C, f"u-b2c_1_susi.{GUID}", None, B2C.url, id="b2c stays"),
        pytest.param(B2C, f"u-b2c_1_susi.{GUID}", "Contoso.onmicrosoft.com", B2C.url, id="b2c, its own tenant"),
        pytest.param(ADFS, "alice.contoso.test", None, ADFS.url, id="adfs stays"),
    ],
)
def test_request_authority_of_each_kind(configured, home_account_id, tenant_id, expected):
    """MSAL.NET: B2C and AD FS keep the authority that was configured; the others change the tenant in the path."""
    assert request_authority(configured, home_account_id, tenant_id) == parse_authority(expected)


@pytest.mark.parametrize("authority", [B2C, ADFS, ISSUER], ids=lambda authority: authority.kind)
@pytest.mark.parametrize("tenant_id", [OTHER_GUID, "common"])
def test_a_tenant_that_would_be_ignored_is_refused(authority, tenant_id):
    """MSAL.NET ignores it, and the caller gets another tenant's token than the one asked for."""
    with pytest.raises(ValueError, match="expected no tenant"):
        request_authority(authority, None, tenant_id)


def test_request_authority_of_an_issuer():
    assert request_authority(ISSUER, "u.home", None) is ISSUER
    with pytest.raises(ValueError, match="no Microsoft Entra authority"):
        request_authority(ISSUER, "u.home", "t")


def test_request_authority_refuses_an_empty_override():
    with pytest.raises(ValueError, match="expected a tenant id"):
        request_authority(COMMON, "u.home", "")


_HOSTS = st.sampled_from(["x.b2clogin.com", "x.ciamlogin.com", "login.windows.net", "idp.test", "127.0.0.1:9400"])
_PATHS = st.lists(
    st.sampled_from(["tfp", "adfs", "dstsv2", "common", "v2.0", "T.test", "B2C_1_x", GUID, ""]), max_size=5
)
_LIKELY = st.builds(lambda host, path: "https://" + "/".join([host, *path]), _HOSTS, _PATHS)


@given(_LIKELY | st.text() | st.from_regex(r"https?://[^\n]*", fullmatch=True))
def test_what_is_accepted_is_canonical(url):
    try:
        authority = parse_authority(url)
    except ValueError:
        return
    assert parse_authority(authority.url) == authority
    assert re.fullmatch(r"https?://[\x21-\x7e]*[^/]", authority.url)
