"""Parameters of a program's own: what may be sent along, and what is the library's to send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol.test_token_request import REQUESTS, entra, oidc
from support.chains import all_that_is_told_by

from warmtoken.credentials import ClientAssertion, ClientSecret
from warmtoken.protocol.parameters import checked_parameters
from warmtoken.protocol.token_exchange import TOKEN_EXCHANGE_GRANT
from warmtoken.protocol.token_request import AuthorizationRequest, RequestContext, authorization_url

ORDER = {"resource": ["https://b.example", "https://a.example"], "audience": "api", "acr_values": "urn:gold"}
CANARY = "canary"


def test_they_are_sorted_by_name_and_those_of_one_name_stay_in_order() -> None:
    pairs = (("acr_values", "urn:gold"), ("audience", "api"))
    assert checked_parameters(ORDER) == (
        *pairs,
        ("resource", "https://b.example"),
        ("resource", "https://a.example"),
    )
    assert checked_parameters(dict(reversed(ORDER.items()))) == checked_parameters(ORDER)
    assert checked_parameters({"audience": ("api",)}) == checked_parameters({"audience": "api"})
    assert checked_parameters({}) == ()


def exchanging(credential: Any) -> RequestContext:
    """A provider with token exchange (RFC 8693)."""
    return oidc(credential, grant_types=(TOKEN_EXCHANGE_GRANT,))


def names_in(text: str) -> set[str]:
    return {name for name, _ in parse_qsl(text, strict_parsing=True)}


@pytest.mark.parametrize("credential", [None, ClientSecret("s"), ClientAssertion("a")])
@pytest.mark.parametrize("context", [entra, oidc, exchanging])
def test_every_name_that_the_library_sends_is_refused(context: Any, credential: Any) -> None:
    here = context(credential)
    asked = AuthorizationRequest(
        "http://127.0.0.1:1/", ("a",), "s", "n", "c", "hint", "login", "{}", True, "d", 1, "query"
    )
    names = names_in(urlsplit(authorization_url(here, asked)).query)
    for request in REQUESTS:
        build: Any = request.values[0]
        names |= names_in(build(here, claims="{}").body.decode())
    assert {"client_id", "scope", "claims", "state", "grant_type", "domain_hint", "max_age"} <= names
    for name in names:
        for typed in (name, name.upper()):
            with pytest.raises(ValueError, match=f"without {typed!r}: "):
                checked_parameters({typed: CANARY})


@pytest.mark.parametrize("name", ["username", "password", "request", "request_uri", "actor_token"])
def test_what_would_make_another_request_of_it_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name) as refused:
        checked_parameters({name: CANARY})
    assert CANARY not in all_that_is_told_by(refused.value)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ("audience=api", TypeError),
        ([("audience", "api")], TypeError),
        ({7: "api"}, TypeError),
        ({"": CANARY}, ValueError),
        ({"a b": CANARY}, ValueError),
        ({"a=b&c": CANARY}, ValueError),
        ({"ä": CANARY}, ValueError),
        ({"audience": None}, TypeError),
        ({"audience": 7}, TypeError),
        ({"audience": CANARY.encode()}, TypeError),
        ({"audience": {CANARY}}, TypeError),
        ({"audience": ["api", 7]}, TypeError),
        ({"audience": []}, ValueError),
        ({"audience": ""}, ValueError),
        ({"audience": ["api", ""]}, ValueError),
        ({"audience": f"{CANARY}\r\nx: y"}, ValueError),
        ({"audience": f"{CANARY}\x7f"}, ValueError),
        ({"audience": f"{CANARY}\x85"}, ValueError),
        ({"audience": f"{CANARY}\ud800"}, ValueError),
    ],
)
def test_what_cannot_be_sent_is_refused_and_no_message_shows_a_value(parameters: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        checked_parameters(parameters)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("build", [pytest.param(request.values[0], id=request.id) for request in REQUESTS])
@pytest.mark.parametrize("context", [entra, oidc])
def test_they_stand_behind_the_fields_of_every_request(build: Any, context: Any) -> None:
    plain = context()
    pairs = checked_parameters(ORDER)
    sent = parse_qsl(build(replace(plain, parameters=pairs)).body.decode(), strict_parsing=True)
    assert sent == [*parse_qsl(build(plain).body.decode(), strict_parsing=True), *pairs]


@given(st.dictionaries(st.text("abc", min_size=1), st.text("a&=%+ #ä\u2028", min_size=1), max_size=3))
def test_the_provider_reads_what_was_typed(parameters: dict[str, str]) -> None:
    context = replace(oidc(), parameters=checked_parameters(parameters))
    asked = AuthorizationRequest("http://127.0.0.1:1/", ("a",), "s", "n", "c")
    query = parse_qsl(urlsplit(authorization_url(context, asked)).query, strict_parsing=True)
    assert dict(query[len(query) - len(parameters) :]) == parameters
