from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.errors import ProtocolError, ServiceError, WarmTokenError
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.discovery import ProviderMetadata, discovery_request, entra_metadata, parse_metadata
from warmtoken.transport import HttpResponse

ISSUER = "https://idp.example.test/realms/one"
AUTHORITY = parse_authority(ISSUER)
GOOD = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://idp.example.test/authorize?x=1",
    "token_endpoint": "https://tokens.example.test/token",
}


def reply(status=200, headers=None, **changes):
    fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return HttpResponse(status, headers or {"content-type": "application/json"}, json.dumps(fields).encode())


def test_least_metadata():
    assert parse_metadata(AUTHORITY, reply()) == ProviderMetadata(
        ISSUER, "https://idp.example.test/authorize?x=1", "https://tokens.example.test/token"
    )


def test_all_metadata():
    metadata = parse_metadata(
        AUTHORITY,
        reply(
            device_authorization_endpoint="https://idp.example.test/device",
            jwks_uri="https://idp.example.test/jwks",
            revocation_endpoint="https://idp.example.test/revoke",
            code_challenge_methods_supported=["plain", "S256", 5],
            token_endpoint_auth_methods_supported=["client_secret_basic"],
            authorization_response_iss_parameter_supported=True,
            something_else={"a": [1]},
        ),
    )
    assert metadata.device_authorization_endpoint == "https://idp.example.test/device"
    assert metadata.jwks_uri == "https://idp.example.test/jwks"
    assert metadata.revocation_endpoint == "https://idp.example.test/revoke"
    assert metadata.code_challenge_methods == ("plain", "S256")
    assert metadata.token_endpoint_auth_methods == ("client_secret_basic",)
    assert metadata.response_iss_supported


def test_an_issuer_with_a_terminating_slash_keeps_it():
    assert parse_metadata(parse_authority(ISSUER + "/"), reply(issuer=ISSUER + "/")).issuer == ISSUER + "/"


@pytest.mark.parametrize(
    "issuer",
    [..., None, 5, [ISSUER], "", ISSUER + "//", ISSUER + "/x", ISSUER[:-1], ISSUER.upper(), "https://evil.test"],
)
def test_another_issuer_is_refused(issuer):
    with pytest.raises(ProtocolError, match=f"expected issuer {ISSUER}") as caught:
        parse_metadata(AUTHORITY, reply(issuer=issuer), correlation_id="c")
    assert (caught.value.code, caught.value.correlation_id) == ("issuer_mismatch", "c")


def test_a_user_flow_of_b2c_names_its_issuer():
    authority = parse_authority("https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_susi")
    issuer = "https://contoso.b2clogin.com/0f0e0d0c-1111-4c40-97bc-f7a23c703084/v2.0/"
    assert parse_metadata(authority, reply(issuer=issuer)).issuer == issuer
    with pytest.raises(
        ProtocolError, match=r"expected issuer https://contoso.b2clogin.com/\{tenantid\}/v2.0/"
    ) as caught:
        parse_metadata(authority, reply(issuer=authority.url))
    assert caught.value.code == "issuer_mismatch"


def test_ad_fs_is_discovered_and_its_issuer_is_its_url():
    authority = parse_authority("https://fs.contoso.test/adfs")
    assert discovery_request(authority).url == "https://fs.contoso.test/adfs/.well-known/openid-configuration"
    assert parse_metadata(authority, reply(issuer=authority.url)).issuer == authority.url


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("value", [..., None])
def test_missing_endpoints(name, value):
    with pytest.raises(ProtocolError, match=f"expected {name}") as caught:
        parse_metadata(AUTHORITY, reply(**{name: value}))
    assert caught.value.code == "metadata_endpoint_missing"


@pytest.mark.parametrize(
    "name",
    ["authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "jwks_uri", "revocation_endpoint"],
)
@pytest.mark.parametrize(
    "value",
    [
        "",
        5,
        [],
        "/token",
        "http://idp.example.test/token",
        "http://127.0.0.1/token",
        "https://user@idp.example.test/token",
        "https://idp.example.test/token#x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://idp.example.test/a b",
    ],
)
def test_endpoints_that_are_no_https_url(name, value):
    with pytest.raises(ProtocolError, match=name) as caught:
        parse_metadata(AUTHORITY, reply(**{name: value}))
    assert caught.value.code == "metadata_endpoint_invalid"


def test_http_endpoints_of_a_loopback_issuer():
    issuer = "http://127.0.0.1:9400"
    metadata = parse_metadata(
        parse_authority(issuer),
        reply(issuer=issuer, authorization_endpoint=f"{issuer}/auth", token_endpoint="http://[::1]:9400/token"),
    )
    assert metadata.token_endpoint == "http://[::1]:9400/token"
    with pytest.raises(ProtocolError, match="loopback"):
        parse_metadata(parse_authority(issuer), reply(issuer=issuer, token_endpoint="http://10.0.0.1/token"))


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (500, "service_not_available"), (302, "http_status_not_200")]
)
def test_other_statuses(status, code):
    with pytest.raises(ServiceError) as caught:
        parse_metadata(AUTHORITY, reply(status))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "text/html; charset=utf-8"}, b"Sign in to the hotel"),
        ({}, b"\xef\xbb\xbf\r\n<!DOCTYPE html><p>hotel"),
    ],
)
def test_html_is_told_with_advice(headers, body):
    with pytest.raises(ProtocolError, match="captive portal") as caught:
        parse_metadata(AUTHORITY, HttpResponse(200, headers, body))
    assert caught.value.code == "non_parsable_oauth_error"
    assert "hotel" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"issuer":1,"issuer":2}'])
def test_not_a_json_object(body):
    with pytest.raises(ProtocolError, match="got application/json") as caught:
        parse_metadata(AUTHORITY, HttpResponse(200, {"content-type": "application/json"}, body))
    assert caught.value.code == "non_parsable_oauth_error"


def test_a_content_type_that_is_none_is_not_shown():
    with pytest.raises(ProtocolError, match="without a content type"):
        parse_metadata(AUTHORITY, HttpResponse(200, {"content-type": "x\x1b[31m/y"}, b""))


def test_entra_needs_no_request():
    metadata = entra_metadata(parse_authority("https://login.windows.net/common"))
    assert metadata.issuer == "https://login.microsoftonline.com/{tenantid}/v2.0"
    assert metadata.authorization_endpoint == "https://login.windows.net/common/oauth2/v2.0/authorize"
    assert metadata.token_endpoint == "https://login.windows.net/common/oauth2/v2.0/token"
    assert metadata.device_authorization_endpoint == "https://login.windows.net/common/oauth2/v2.0/devicecode"
    assert "S256" in metadata.code_challenge_methods


def test_the_issuer_of_another_cloud():
    metadata = entra_metadata(parse_authority("https://login.usgovcloudapi.net/t"))
    assert metadata.issuer == "https://login.microsoftonline.us/{tenantid}/v2.0"


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        (
            "https://contoso.ciamlogin.com/contoso.onmicrosoft.com",
            "https://{tenantid}.ciamlogin.com/{tenantid}/v2.0",
        ),
        ("https://dsts.core.test/dstsv2/common", "https://dsts.core.test/dstsv2/common"),
    ],
    ids=["ciam", "dsts"],
)
def test_external_id_and_dsts_need_no_request(url, issuer):
    metadata = entra_metadata(parse_authority(url))
    assert metadata.issuer == issuer
    assert metadata.authorization_endpoint == f"{url}/oauth2/v2.0/authorize"
    assert metadata.token_endpoint == f"{url}/oauth2/v2.0/token"
    assert metadata.device_authorization_endpoint == f"{url}/oauth2/v2.0/devicecode"


@pytest.mark.parametrize(
    "url", [ISSUER, "https://fs.contoso.test/adfs", "https://contoso.b2clogin.com/contoso.test/b2c_1_susi"]
)
def test_endpoints_that_do_not_follow_from_the_url_are_not_made_up(url):
    with pytest.raises(ValueError, match="expected a Microsoft Entra authority"):
        entra_metadata(parse_authority(url))


def test_request():
    request = discovery_request(AUTHORITY)
    assert (request.method, request.url) == ("GET", f"{ISSUER}/.well-known/openid-configuration")
    assert request.body == b""


@given(
    st.dictionaries(st.sampled_from([*GOOD, "jwks_uri"]), st.none() | st.text() | st.integers()), st.integers(100, 599)
)
def test_nothing_but_our_errors(changes, status):
    try:
        metadata = parse_metadata(AUTHORITY, reply(status, **changes))
    except WarmTokenError:
        return
    assert metadata.issuer == ISSUER
