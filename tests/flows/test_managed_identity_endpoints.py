"""The endpoints that give out managed identities' tokens: how they are asked, how often, and what they may say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from support.fault_server import reply, serving
from support.managed_identity import GUID, RESOURCE_ID, VAULT, Place, failed
from support.managed_identity_endpoint import DEFAULT_CLIENT_ID, SECRET, SOURCES, Answer

from warmtoken import (
    ClientError,
    ProtocolError,
    ServiceError,
    SystemAssignedManagedIdentity,
    ThrottledError,
    TransportError,
    UserAssignedManagedIdentity,
)

pytestmark = pytest.mark.usefixtures("pauses")


# --- which identity ---


@pytest.mark.parametrize(
    ("source", "identity", "sent"),
    [
        ("imds", UserAssignedManagedIdentity(client_id=GUID), {"client_id": GUID}),
        ("imds", UserAssignedManagedIdentity(object_id=GUID), {"object_id": GUID}),
        ("imds", UserAssignedManagedIdentity(resource_id=RESOURCE_ID), {"msi_res_id": RESOURCE_ID}),
        ("app_service", UserAssignedManagedIdentity(client_id=GUID), {"client_id": GUID}),
        ("app_service", UserAssignedManagedIdentity(object_id=GUID), {"object_id": GUID}),
        ("app_service", UserAssignedManagedIdentity(resource_id=RESOURCE_ID), {"mi_res_id": RESOURCE_ID}),
        ("machine_learning", UserAssignedManagedIdentity(client_id=GUID), {"clientid": GUID}),
        ("machine_learning", SystemAssignedManagedIdentity(), {"clientid": DEFAULT_CLIENT_ID}),
    ],
)
def test_an_identity_is_named_as_the_endpoint_calls_it(
    enter: Callable[[str], Place], source: str, identity: Any, sent: dict[str, str]
) -> None:
    place = enter(source)
    place.app(identity).acquire_token_for_managed_identity(VAULT)
    (asked,) = place.asked
    assert {name: value for name, value in asked.items() if name not in {"api-version", "resource"}} == sent


@pytest.mark.parametrize(
    ("source", "identity", "code"),
    [
        ("azure_arc", UserAssignedManagedIdentity(client_id=GUID), "user_assigned_managed_identity_not_supported"),
        ("cloud_shell", UserAssignedManagedIdentity(client_id=GUID), "user_assigned_managed_identity_not_supported"),
        (
            "service_fabric",
            UserAssignedManagedIdentity(client_id=GUID),
            "user_assigned_managed_identity_not_configurable_at_runtime",
        ),
        ("machine_learning", UserAssignedManagedIdentity(object_id=GUID), "invalid_managed_identity_id_type"),
        ("machine_learning", UserAssignedManagedIdentity(resource_id=RESOURCE_ID), "invalid_managed_identity_id_type"),
    ],
)
def test_an_identity_that_the_endpoint_cannot_name_is_refused(
    enter: Callable[[str], Place], source: str, identity: Any, code: str
) -> None:
    place = enter(source)
    assert failed(lambda: place.app(identity).acquire_token_for_managed_identity(VAULT), ClientError).code == code
    assert place.endpoint.seen == []


# --- sent again ---


@pytest.mark.parametrize("status", [404, 408, 429, 500, 503, 504])
@pytest.mark.parametrize("source", [source for source in SOURCES if source != "imds"])
def test_other_endpoints_are_asked_three_times_again_after_a_second(
    enter: Callable[[str], Place], pauses: list[float], source: str, status: int
) -> None:
    place = enter(source)
    app = place.app()
    place.answers(*[status] * 3)
    assert app.acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[0]
    assert pauses == [1.0] * 3
    place.answers(*[status] * 9)
    error = failed(lambda: app.acquire_token_for_managed_identity(VAULT, force_refresh=True), ServiceError)
    assert (error.status, error.is_retryable) == (status, True)
    assert len(place.endpoint.next_answers) == 5


@pytest.mark.parametrize("status", [404, 408, 429, 500, 502, 503, 504, 599])
def test_imds_is_asked_again_after_one_two_and_four_seconds(place: Place, pauses: list[float], status: int) -> None:
    place.answers(*[status] * 3)
    assert place.app().acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[0]
    assert pauses == [1.0, 2.0, 4.0]
    place.answers(*[status] * 9)
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT, force_refresh=True), ServiceError)
    assert (error.status, error.is_retryable) == (status, True)
    assert len(place.endpoint.next_answers) == 5


def test_imds_that_is_being_updated_is_asked_again_for_seventy_seconds(place: Place, pauses: list[float]) -> None:
    place.answers(*[410] * 7)
    assert place.app().acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[0]
    assert pauses == [10.0] * 7
    place.answers(*[410] * 9)
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT, force_refresh=True), ServiceError)
    assert (error.status, error.is_retryable) == (410, True)
    assert len(place.endpoint.next_answers) == 1


@pytest.mark.parametrize(
    ("source", "status"),
    [("imds", 400), ("imds", 403), ("app_service", 400), ("app_service", 410), ("app_service", 502),
     ("azure_arc", 403), ("service_fabric", 502)],
)  # fmt: skip
def test_all_else_is_sent_once(enter: Callable[[str], Place], pauses: list[float], source: str, status: int) -> None:
    place = enter(source)
    place.answers(status)
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT), ServiceError)
    assert (error.status, error.is_retryable, pauses) == (status, status >= 500, [])
    assert len(place.endpoint.seen) == 1


def test_who_says_when_to_come_back_is_not_asked_before_by_anybody(place: Place, pauses: list[float]) -> None:
    place.answers(429, headers={"Retry-After": "17"})
    since = place.world.clock.time()
    for app in (place.app(), place.app(cache=place.world.new_cache())):
        error = failed(lambda app=app: app.acquire_token_for_managed_identity(VAULT), ThrottledError)
        assert since + 16.99 - place.world.clock.time() <= error.retry_after <= 17
    assert (len(place.endpoint.seen), pauses) == (1, [])
    place.world.clock.advance(18)
    assert place.app().acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[0]


@pytest.mark.parametrize("status", [429, 503])
def test_without_retry_after_it_is_left_alone_for_five_seconds(place: Place, status: int) -> None:
    app = place.app()
    place.answers(*[status] * 4)
    failed(lambda: app.acquire_token_for_managed_identity(VAULT), ServiceError)
    assert failed(lambda: app.acquire_token_for_managed_identity(VAULT), ThrottledError).retry_after <= 5
    assert len(place.endpoint.seen) == 4
    place.world.clock.advance(5.1)
    assert app.acquire_token_for_managed_identity(VAULT).access_token


def test_a_token_that_still_lasts_serves_while_the_endpoint_fails(place: Place) -> None:
    app = place.app()
    first = app.acquire_token_for_managed_identity(VAULT)
    place.world.clock.advance(3400)
    place.answers(*[500] * 4)
    served = app.acquire_token_for_managed_identity(VAULT)
    assert (served.access_token, served.metadata.cache_refresh_reason) == (first.access_token, "expired")


# --- errors ---


@pytest.mark.parametrize("source", SOURCES)
def test_a_refusal_is_typed_and_says_what_the_endpoint_said(enter: Callable[[str], Place], source: str) -> None:
    place = enter(source)
    body = place.endpoint.refusal(f"Identity not found for {SECRET}", "invalid_request")
    place.endpoint.next_answers = [Answer(400, body)]
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT, correlation_id="mine"))
    assert type(error) is ServiceError
    assert (error.code, error.status, error.is_retryable) == ("managed_identity_request_failed", 400, False)
    assert error.error_description.startswith("Identity not found")
    assert error.correlation_id == "mine"
    assert (source in str(error), "HTTP 400" in str(error)) == (True, True)
    if source in {"app_service", "service_fabric", "machine_learning"}:
        assert SECRET not in f"{error}{error!r}{error.__dict__}"


@pytest.mark.parametrize("source", SOURCES)
def test_no_user_is_ever_needed(enter: Callable[[str], Place], source: str) -> None:
    place = enter(source)
    place.endpoint.next_answers = [Answer(400, {"error": "invalid_grant", "suberror": "basic_action"})]
    assert type(failed(lambda: place.app().acquire_token_for_managed_identity(VAULT))) is ServiceError


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>sign in</html>", "managed_identity_response_parse_failure"),
        (b"", "managed_identity_response_parse_failure"),
        (b"[]", "managed_identity_response_parse_failure"),
        (b'{"access_token":"a","access_token":"b","expires_in":1}', "managed_identity_response_parse_failure"),
        (b'{"a":' + b"[" * 30 + b"]" * 30 + b"}", "managed_identity_response_parse_failure"),
        (b"{}", "invalid_managed_identity_response"),
        ({"access_token": "canary", "expires_in": "soon"}, "invalid_managed_identity_response"),
        ({"access_token": "canary", "expires_in": -1}, "invalid_managed_identity_response"),
        ({"access_token": "canary", "expires_on": "tomorrow"}, "invalid_managed_identity_response"),
        ({"expires_in": 3600}, "access_token_missing"),
        ({"access_token": "canary\r\nX: y", "expires_in": 3600}, "access_token_invalid"),
        ({"access_token": "canary b", "expires_in": 3600}, "access_token_invalid"),
        ({"access_token": "canary", "expires_in": 3600, "token_type": "pop"}, "token_type_mismatch"),
    ],
)
def test_a_reply_that_is_none_is_a_protocol_error_and_not_kept(place: Place, body: Any, code: str) -> None:
    app = place.app()
    place.endpoint.next_answers = [Answer(200, body)]
    error = failed(lambda: app.acquire_token_for_managed_identity(VAULT), ProtocolError)
    assert error.code == code
    assert "canary" not in f"{error}{error!r}"
    assert app.acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[0]


def test_a_reply_of_more_than_a_mebibyte_is_cut_off(place: Place) -> None:
    place.endpoint.next_answers = [Answer(200, b" " * (1 << 21))]
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT), TransportError)
    assert error.code == "response_too_large"


def test_a_refresh_token_in_a_reply_is_not_kept(place: Place) -> None:
    place.endpoint.fields = {"refresh_token": "rt-canary", "id_token": "a.b.c", "scope": "other", "foci": "1"}
    result = place.app().acquire_token_for_managed_identity(VAULT)
    assert (result.scopes, result.id_token, result.account) == ((VAULT,), None, None)
    assert "rt-canary" not in place.world.cache.export_msal()


def test_where_nothing_answers_the_network_is_unreachable(place: Place, pauses: list[float]) -> None:
    app = place.app()
    place.endpoint._server.socket.close()
    error = failed(lambda: app.acquire_token_for_managed_identity(VAULT), TransportError)
    assert (error.code, pauses) == ("managed_identity_unreachable_network", [])
    assert "imds" in str(error)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://pods.example"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://10.0.0.4"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "ftp://169.254.169.254"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://canary:canary@169.254.169.254"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "no url"),
    ],
)
def test_an_endpoint_that_a_token_must_not_come_from_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    app = place.app()
    assert app.application.source == "imds"
    error = failed(lambda: app.acquire_token_for_managed_identity(VAULT), ClientError)
    assert error.code == "invalid_managed_identity_endpoint"
    assert variable in str(error)
    assert "canary" not in str(error)


def test_no_log_no_error_and_no_repr_shows_a_secret(
    enter: Callable[[str], Place], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    for source in SOURCES:
        place = enter(source)
        app = place.app()
        app.acquire_token_for_managed_identity(VAULT)
        place.endpoint.next_answers = [Answer(403, place.endpoint.refusal("no"))] * 2
        error = failed(lambda app=app: app.acquire_token_for_managed_identity(VAULT, force_refresh=True))
        said += [str(error), repr(error), repr(app.application), repr(app.application._context)]
    said += [record.getMessage() for record in caplog.records]
    assert not [text for text in said if SECRET in text or "canary-key" in text]


# --- proxies and certificates ---


def test_no_proxy_of_the_environment_sees_a_token(
    enter: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(reply(b"proxy")) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for source in SOURCES:
            assert enter(source).app().acquire_token_for_managed_identity(VAULT).access_token
        assert proxy.connections == 0


def test_service_fabric_is_believed_by_its_thumbprint_alone(
    enter: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = enter("service_fabric")
    monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "ab" * 20)
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT), TransportError)
    assert error.code == "managed_identity_unreachable_network"
    assert "thumbprint" in str(error)
    assert place.endpoint.seen == []  # nothing was sent, the secret least of all


@pytest.mark.parametrize(
    ("variable", "value"),
    [("IDENTITY_SERVER_THUMBPRINT", "ab"), ("IDENTITY_SERVER_THUMBPRINT", "x" * 40), ("IDENTITY_HEADER", "a\nb"),
     ("IDENTITY_ENDPOINT", "http://127.0.0.1:1/token"), ("IDENTITY_ENDPOINT", "http://169.254.1.1/token")],
)  # fmt: skip
def test_service_fabric_needs_https_a_thumbprint_and_a_secret_that_can_be_sent(
    enter: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    place = enter("service_fabric")
    monkeypatch.setenv(variable, value)
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT), ClientError)
    assert error.code == "invalid_managed_identity_endpoint"
    assert value not in str(error)
