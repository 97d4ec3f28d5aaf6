"""Token exchange (RFC 8693), as it is sent and as it is answered."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from warmtoken import ClientSecret, ProtocolError
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.client_authentication import Client
from warmtoken.protocol.discovery import ProviderMetadata
from warmtoken.protocol.token_exchange import TOKEN_EXCHANGE_GRANT, check_issued_token
from warmtoken.protocol.token_reply import TokenReply
from warmtoken.protocol.token_request import RequestContext, on_behalf_of_request, secrets_of

JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ISSUER = "https://idp.example.test"


def context(url: str, *grant_types: str) -> RequestContext:
    metadata = ProviderMetadata(ISSUER, f"{ISSUER}/authorize", f"{ISSUER}/token", grant_types=grant_types)
    return RequestContext(parse_authority(url), metadata, Client("api", ClientSecret("secret")), "c-1", 0)


def fields(context: RequestContext, **named: str) -> dict[str, str]:
    request = on_behalf_of_request(context, "A.S.T", ["b", "A", "openid"], **named)
    return {name: value for name, (value,) in parse_qs(request.body.decode()).items()}


def test_a_request_is_an_exchange_where_the_issuer_lists_it() -> None:
    """RFC 8693, section 2.1. The scopes are those that were typed."""
    assert fields(context(ISSUER, TOKEN_EXCHANGE_GRANT, JWT_BEARER_GRANT), claims='{"a":1}') == {
        "grant_type": TOKEN_EXCHANGE_GRANT,
        "subject_token": "A.S.T",
        "subject_token_type": ACCESS_TOKEN,
        "requested_token_type": ACCESS_TOKEN,
        "scope": "A b openid",
        "claims": '{"a":1}',
    }


@pytest.mark.parametrize("url", ["https://login.microsoftonline.com/t", "https://fs.contoso.test/adfs", ISSUER])
def test_microsofts_services_and_who_lists_none_get_microsofts_grant(url: str) -> None:
    listed = () if url == ISSUER else (TOKEN_EXCHANGE_GRANT,)
    assert fields(context(url, *listed))["grant_type"] == JWT_BEARER_GRANT


def test_the_users_token_is_a_secret_of_the_request() -> None:
    request = on_behalf_of_request(context(ISSUER, TOKEN_EXCHANGE_GRANT), "A.S.T", [])
    assert "A.S.T" in secrets_of(request)


def reply(**extra: object) -> TokenReply:
    return TokenReply("token", "Bearer", 3600, extra=extra)


@pytest.mark.parametrize("extra", [{}, {"issued_token_type": ACCESS_TOKEN}, {"issued_token_type": JWT}])
def test_an_access_token_is_taken(extra: dict[str, object]) -> None:
    check_issued_token(reply(**extra), "c-1")


@pytest.mark.parametrize("issued", [ACCESS_TOKEN.replace("access", "refresh"), "urn:x", "", 1, [ACCESS_TOKEN], {}])
def test_another_type_of_token_is_refused(issued: object) -> None:
    """RFC 8693, section 2.2.1: `issued_token_type` says what came."""
    with pytest.raises(ProtocolError) as refused:
        check_issued_token(reply(issued_token_type=issued), "c-1")
    assert (refused.value.code, refused.value.correlation_id) == ("issued_token_type_mismatch", "c-1")
    assert json.dumps(issued) not in str(refused.value)
