from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from warmtoken.credentials import ClientAssertion, ClientSecret
from warmtoken.errors import ClientError, ProtocolError
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.client_authentication import Client
from warmtoken.protocol.discovery import ProviderMetadata, entra_metadata
from warmtoken.protocol.entra_headers import entra_headers
from warmtoken.protocol.token_request import (
    AuthorizationRequest,
    RequestContext,
    authorization_code_request,
    authorization_url,
    check_scopes_of_client,
    client_credentials_request,
    device_authorization_request,
    device_code_request,
    on_behalf_of_request,
    refresh_request,
    secrets_of,
    session_refresh_request,
    sign_in_scopes,
)

ISSUER = "https://idp.example.test"
SCOPES = ("b+c", "A")
PLAIN = "A b+c"
UNITED = "A b+c offline_access openid profile"


def entra(credential=None):
    authority = parse_authority("https://login.microsoftonline.com/t")
    return RequestContext(authority, entra_metadata(authority), Client("app", credential), "c-1", 0)


def oidc(credential=None, url=ISSUER, **metadata):
    endpoints = {
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "device_authorization_endpoint": f"{ISSUER}/device",
    }
    provider = ProviderMetadata(ISSUER, **{**endpoints, **metadata})
    return RequestContext(parse_authority(url), provider, Client("app", credential), "c-1", 0)


B2C, CIAM, DSTS = (
    "https://contoso.b2clogin.com/tfp/contoso.test/b2c_1_susi",
    "https://contoso.ciamlogin.com",
    "https://dsts.core.test/dstsv2/t",
)
ADFS = "https://fs.contoso.test/adfs"


def form(request):
    """The fields of a request, each of which stands there once."""
    fields = parse_qs(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in fields.values())
    return {name: values[0] for name, values in fields.items()}


CODE = {"redirect_uri": "http://127.0.0.1:1/", "code_verifier": "V"}
REQUESTS = [
    pytest.param(
        lambda context, **more: refresh_request(context, "R", SCOPES, **more),
        {"grant_type": "refresh_token", "refresh_token": "R", "scope": UNITED, "client_info": "1"},
        id="refresh",
    ),
    pytest.param(
        lambda context, **more: authorization_code_request(context, "C", **CODE, scopes=SCOPES, **more),
        {"grant_type": "authorization_code", "code": "C", **CODE, "scope": UNITED, "client_info": "1"},
        id="authorization code",
    ),
    pytest.param(
        lambda context, **more: client_credentials_request(context, SCOPES, **more),
        {"grant_type": "client_credentials", "scope": PLAIN},
        id="client credentials",
    ),
    pytest.param(
        lambda context, **more: on_behalf_of_request(context, "A.S.T", SCOPES, **more),
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": "A.S.T",
            "requested_token_use": "on_behalf_of",
            "scope": UNITED,
            "client_info": "1",
        },
        id="on behalf of",
    ),
    pytest.param(
        lambda context, **more: device_code_request(context, "D", **more),
        {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "D", "client_info": "1"},
        id="device code",
    ),
    pytest.param(
        lambda context, **more: device_authorization_request(context, SCOPES, **more),
        {"scope": UNITED},
        id="device authorization",
    ),
]


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
def test_fields_at_entra(build, expected):
    assert form(build(entra())) == {"client_id": "app", **expected}


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
@pytest.mark.parametrize("url", [B2C, CIAM, DSTS], ids=["b2c", "ciam", "dsts"])
def test_b2c_external_id_and_dsts_speak_entras_dialect(url, build, expected):
    assert form(build(oidc(url=url))) == {"client_id": "app", **expected}


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
@pytest.mark.parametrize("url", [ISSUER, ADFS], ids=["oidc", "adfs"])
def test_fields_at_another_issuer(url, build, expected):
    sent = {name: value for name, value in expected.items() if name != "client_info"}
    if sent.get("grant_type") == "authorization_code":
        del sent["scope"]
    if sent.get("grant_type") == "refresh_token":
        sent["scope"] = "A b+c openid"  # what may not have been granted is not asked for
    assert form(build(oidc(url=url))) == {"client_id": "app", **sent}


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
def test_claims_go_along(build, expected):
    assert form(build(entra(), claims='{"a":1}'))["claims"] == '{"a":1}'


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
@pytest.mark.parametrize("context", [entra(), oidc()], ids=["entra", "oidc"])
def test_method_and_headers(context, build, expected):
    request = build(context)
    assert request.method == "POST"
    assert request.headers == {
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
        "client-request-id": "c-1",
        "return-client-request-id": "true",
        **(entra_headers("") if context.authority.kind == "entra" else {}),
    }


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
def test_entra_alone_is_told_the_library_and_the_users_mailbox(build, expected):
    told = {"x-client-sku", "x-client-ver", "x-client-os", "x-ms-lib-capability", "x-anchormailbox"}
    headers = build(replace(entra(), mailbox="oid:u@t")).headers
    assert told <= set(headers)
    assert (headers["x-anchormailbox"], headers["x-ms-lib-capability"]) == ("oid:u@t", "retry-after, h429")
    assert not {name for name in build(replace(oidc(), mailbox="oid:u@t")).headers if name.startswith("x-")}


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
def test_endpoints(build, expected):
    name = "token" if "grant_type" in expected else "device"
    assert build(oidc()).url == f"{ISSUER}/{name}"


@pytest.mark.parametrize(("build", "expected"), REQUESTS)
def test_the_client_proves_itself(build, expected):
    assert form(build(entra(ClientSecret("S"))))["client_secret"] == "S"
    request = build(oidc(ClientSecret("S")))
    assert request.headers["authorization"] == "Basic YXBwOlM="
    assert "client_secret" not in form(request)


def test_an_empty_scope_is_left_out():
    assert "scope" not in form(client_credentials_request(oidc(), ()))


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [((), "openid"), (("profile", "openid"), "openid profile"), (("a", "offline_access"), "a offline_access openid")],
)
def test_a_refresh_elsewhere_asks_for_what_was_typed(scopes, expected):
    assert form(refresh_request(oidc(), "R", scopes))["scope"] == expected


def test_a_session_is_refreshed_for_what_was_granted_to_it_alone():
    """RFC 6749, section 6: what is got on behalf of a user need not grant `openid`."""
    assert form(session_refresh_request(oidc(), "R", SCOPES))["scope"] == PLAIN
    assert form(session_refresh_request(oidc(), "R", ["openid", "a"]))["scope"] == "a openid"
    assert "scope" not in form(session_refresh_request(oidc(), "R", []))
    assert form(session_refresh_request(entra(), "R", SCOPES)) == form(refresh_request(entra(), "R", SCOPES))


@pytest.mark.parametrize("scopes", [(), ("openid", "Profile")])
def test_entra_needs_scopes_for_client_credentials(scopes):
    with pytest.raises(ClientError) as caught:
        check_scopes_of_client(entra().authority, scopes, None)
    assert caught.value.code == "scopes_required_client_credentials"
    check_scopes_of_client(entra().authority, ("a",), None)
    check_scopes_of_client(oidc().authority, (), None)


def test_no_device_endpoint():
    with pytest.raises(ClientError) as caught:
        device_authorization_request(oidc(device_authorization_endpoint=None), SCOPES)
    assert caught.value.code == "device_code_not_supported"


@pytest.mark.parametrize("correlation_id", ["", " ", " a", "a ", "a\r\nx: y", "é", "a\x00"])
def test_a_correlation_id_cannot_add_headers(correlation_id):
    context = entra()
    with pytest.raises(ValueError, match="correlation id"):
        RequestContext(context.authority, context.metadata, context.client, correlation_id, 0)


def asked(**more):
    return AuthorizationRequest(
        **{
            "redirect_uri": "http://127.0.0.1:1/",
            "scopes": SCOPES,
            "state": "st&te",
            "nonce": "n",
            "code_challenge": "cc",
            **more,
        }
    )


def query_of(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, strict_parsing=True).items()}


LEAST_QUERY = {
    "prompt": "consent",
    "response_type": "code",
    "client_id": "app",
    "redirect_uri": "http://127.0.0.1:1/",
    "scope": UNITED,
    "state": "st&te",
    "nonce": "n",
    "code_challenge": "cc",
    "code_challenge_method": "S256",
}


def test_authorization_url():
    url = authorization_url(oidc(), asked())
    assert url.startswith(f"{ISSUER}/authorize?")
    assert query_of(url) == LEAST_QUERY
    assert "A%20b%2Bc" in url  # some servers read + as a plus


def test_authorization_url_at_entra_with_all():
    more = {
        "login_hint": "ada@example.test",
        "prompt": "select_account",
        "claims": '{"a":1}',
        "domain_hint": "example.test",
        "response_mode": "form_post",
    }
    url = authorization_url(entra(), asked(**more, max_age=0))
    assert query_of(url) == {**LEAST_QUERY, "client_info": "1", **more, "max_age": "0"}


def test_the_endpoints_own_query_is_kept():
    context = oidc(authorization_endpoint=f"{ISSUER}/authorize?p=policy")
    assert query_of(authorization_url(context, asked())) == {"p": "policy", **LEAST_QUERY}


@pytest.mark.parametrize("methods", [(), ("S256",), ("plain", "S256")])
def test_pkce_is_used_unless_the_provider_denies_it(methods):
    assert "code_challenge=cc" in authorization_url(oidc(code_challenge_methods=methods), asked())


def test_a_provider_with_plain_pkce_only_is_refused():
    with pytest.raises(ProtocolError) as caught:
        authorization_url(oidc(code_challenge_methods=("plain",)), asked())
    assert caught.value.code == "pkce_not_supported"


def test_no_browser_is_sent_a_client_secret():
    assert "canary" not in authorization_url(entra(ClientSecret("canary")), asked())


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(refresh_request(oidc(), "R/+ 1", ["a"]), {"R/+ 1"}, id="refresh token"),
        pytest.param(authorization_code_request(oidc(), "C", **CODE), {"C", "V"}, id="code and verifier"),
        pytest.param(device_code_request(oidc(), "D"), {"D"}, id="device code"),
        pytest.param(on_behalf_of_request(oidc(ClientAssertion("a.b.c")), "A", []), {"A", "a.b.c"}, id="on behalf of"),
        pytest.param(client_credentials_request(entra(ClientSecret("S:%")), ["a"]), {"S:%"}, id="secret in form"),
        pytest.param(
            client_credentials_request(oidc(ClientSecret("S:%")), ["a"]),
            {"S:%", "YXBwOlMlM0ElMjU="},
            id="secret in header",
        ),
        pytest.param(client_credentials_request(oidc(ClientAssertion("a.b.c")), ["a"]), {"a.b.c"}, id="assertion"),
        pytest.param(client_credentials_request(oidc(), ["a"]), set(), id="none"),
    ],
)
def test_secrets_of(request_, expected):
    assert set(secrets_of(request_)) == expected


def test_reprs_show_no_secret():
    shown = repr(refresh_request(entra(ClientSecret("canary")), "canary", ["a"]))
    assert "canary" not in shown + repr(entra(ClientSecret("canary"))) + repr(asked(state="canary", nonce="canary"))


@pytest.mark.parametrize(
    ("supported", "typed", "expected"),
    [
        pytest.param((), SCOPES, UNITED, id="a provider that lists nothing is asked for all"),
        pytest.param(("openid", "email"), SCOPES, "A b+c openid", id="reserved ones that are not listed are left out"),
        pytest.param(("openid",), ("offline_access",), "offline_access openid", id="what was typed is sent"),
    ],
)
def test_scopes_of_a_sign_in(supported, typed, expected):
    context = oidc(scopes=supported)
    assert sign_in_scopes(context.metadata, typed) == expected


@pytest.mark.parametrize(
    ("context", "prompt", "expected"),
    [
        pytest.param(oidc(), None, "consent", id="offline_access needs consent"),
        pytest.param(oidc(), "login", "login", id="the caller's prompt wins"),
        pytest.param(oidc(scopes=("openid",)), None, None, id="no offline_access, no prompt"),
        pytest.param(entra(), None, None, id="Entra needs none"),
        pytest.param(oidc(url=B2C), None, None, id="B2C needs none"),
        pytest.param(oidc(url=ADFS), None, None, id="AD FS knows none"),
    ],
)
def test_prompt_of_a_sign_in(context, prompt, expected):
    assert query_of(authorization_url(context, asked(prompt=prompt))).get("prompt") == expected
