"""What the environment says of managed identities, which endpoints are believed, and how replies are read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.managed_identity import GUID, VAULT

from warmtoken import ClientError, ProtocolError, SystemAssignedManagedIdentity, UserAssignedManagedIdentity
from warmtoken.protocol import managed_identity
from warmtoken.protocol.managed_identity import (
    Surroundings,
    check_surroundings,
    is_filled,
    name_in_cache,
    pause_before_retry,
    read_surroundings,
    resource_of,
)
from warmtoken.protocol.managed_identity_reply import parse_managed_identity_reply
from warmtoken.protocol.managed_identity_request import IdentityRequest, managed_identity_request
from warmtoken.transport import HttpResponse

NOW = 1_700_000_000.0
IDENTITY = {"IDENTITY_ENDPOINT": "http://localhost:42356/msi/token"}
HEADER = {"IDENTITY_HEADER": "canary"}
THUMBPRINT = {"IDENTITY_SERVER_THUMBPRINT": "AB" * 20}
MSI = {"MSI_ENDPOINT": "http://localhost:50342/oauth2/token"}
SYSTEM = SystemAssignedManagedIdentity()


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed_identity, "HAS_ARC_AGENT", False)


# --- where ---


@pytest.mark.parametrize(
    ("environ", "source", "url"),
    [
        ({}, "imds", "http://169.254.169.254/metadata/identity/oauth2/token"),
        ({"IDENTITY_HEADER": "x", "MSI_SECRET": "x", "IMDS_ENDPOINT": "x"}, "imds", None),
        (IDENTITY, "imds", None),
        (IDENTITY | THUMBPRINT, "imds", None),
        (IDENTITY | HEADER, "app_service", IDENTITY["IDENTITY_ENDPOINT"]),
        (IDENTITY | HEADER | {"IDENTITY_SERVER_THUMBPRINT": ""}, "app_service", None),
        (IDENTITY | HEADER | MSI | {"MSI_SECRET": "x", "IMDS_ENDPOINT": "x"}, "app_service", None),
        (IDENTITY | HEADER | THUMBPRINT, "service_fabric", IDENTITY["IDENTITY_ENDPOINT"]),
        (IDENTITY | {"IMDS_ENDPOINT": "http://localhost:40342"}, "azure_arc", IDENTITY["IDENTITY_ENDPOINT"]),
        (IDENTITY | HEADER | {"IMDS_ENDPOINT": "http://localhost:40342"}, "app_service", None),
        (IDENTITY | {"IDENTITY_HEADER": ""} | {"IMDS_ENDPOINT": "x"}, "azure_arc", None),
        (MSI, "cloud_shell", MSI["MSI_ENDPOINT"]),
        (MSI | IDENTITY | {"IMDS_ENDPOINT": "x"}, "cloud_shell", None),
        (MSI | {"MSI_SECRET": ""}, "cloud_shell", None),
        (MSI | {"MSI_SECRET": "canary"}, "machine_learning", MSI["MSI_ENDPOINT"]),
        (
            {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:2579/"},
            "imds",
            "http://127.0.0.1:2579/metadata/identity/oauth2/token",
        ),
    ],
)
def test_the_environment_shows_the_source(environ: dict[str, str], source: str, url: str | None) -> None:
    """MSAL.NET's order; a variable that is empty is none."""
    found = read_surroundings(environ)
    assert found.source == source
    assert url in (None, found.url)
    assert "canary" not in repr(found)


def test_the_agent_of_azure_arc_shows_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed_identity, "HAS_ARC_AGENT", True)
    found = read_surroundings({"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1"})
    assert (found.source, found.url) == ("azure_arc", "http://127.0.0.1:40342/metadata/identity/oauth2/token")
    check_surroundings(found, SYSTEM)
    assert read_surroundings(MSI).source == "cloud_shell"


def test_the_agent_is_a_file_that_is_not_empty(tmp_path: Path) -> None:
    agent = tmp_path / "himds"
    found = [is_filled(str(agent)), agent.write_bytes(b""), is_filled(str(agent))]
    agent.write_bytes(b"\x7fELF")
    assert [*found, is_filled(str(agent))] == [False, 0, False, True]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/metadata/identity/oauth2/token",
        "http://169.254.131.2:8081/msi/token",
        "http://127.0.0.1:41741/msi/token/",
        "http://localhost:42356/msi/token",
        "http://[::1]:42356/msi/token",
        "https://10.0.0.4:2377/metadata/identity/oauth2/token",
        "https://identity.example/token?a=b",
    ],
)
def test_tokens_come_from_this_host_its_link_or_by_https(url: str) -> None:
    check_surroundings(Surroundings("app_service", url, "IDENTITY_ENDPOINT", "secret"), SYSTEM)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.4/token",
        "http://169.253.169.254/token",
        "http://169.254.169.254.example/token",
        "http://0xa9fea9fe/token",
        "http://169.254.43518/token",
        "http://[fe80::1]/token",
        "http://identity.example/token",
        "http://user:pass@169.254.169.254/token",
        "http://169.254.169.254/a/../token",
        "http://169.254.169.254:0/token",
        "http://169.254.169.254/token#f",
        "http://169.254.169.254\\@identity.example/token",
        "file:///etc/shadow",
        "169.254.169.254",
        "",
    ],
)
def test_from_nowhere_else(url: str) -> None:
    with pytest.raises(ClientError) as refused:
        check_surroundings(Surroundings("app_service", url, "IDENTITY_ENDPOINT", "secret"), SYSTEM)
    assert refused.value.code == "invalid_managed_identity_endpoint"
    assert "IDENTITY_ENDPOINT" in str(refused.value)
    assert url == "" or url not in str(refused.value)


def test_the_secret_alone_tells_two_applications_of_a_host_apart() -> None:
    places = [Surroundings("app_service", "http://localhost/a", "", secret) for secret in ("canary-1", "canary-2", "")]
    first, second, none = (place.fingerprint for place in places)
    assert len({first, second, none}) == 3
    assert none == ""
    assert "canary" not in first
    elsewhere = Surroundings("app_service", "http://localhost/b", "", "canary-1")
    assert elsewhere.fingerprint != first


# --- who ---


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ({}, ValueError),
        ({"client_id": GUID, "object_id": GUID}, ValueError),
        ({"client_id": ""}, ValueError),
        ({"object_id": "  "}, ValueError),
        ({"resource_id": "a\nb"}, ValueError),
        ({"client_id": 7}, TypeError),
    ],
)
def test_a_user_assigned_identity_has_one_id(named: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        UserAssignedManagedIdentity(**named)


def test_its_id_is_its_name_in_the_cache() -> None:
    assert name_in_cache(SYSTEM) == "system_assigned_managed_identity"
    assert name_in_cache(UserAssignedManagedIdentity(resource_id="/subscriptions/x")) == "/subscriptions/x"


@pytest.mark.parametrize(
    ("given", "resource"),
    [
        ("https://x", "https://x"),
        ("https://x/.default", "https://x"),
        ("https://x//.default", "https://x/"),
        ("https://x/.default/.default", "https://x/.default"),
        ("api://x/.defaults", "api://x/.defaults"),
    ],
)
def test_default_is_left_out_once(given: str, resource: str) -> None:
    assert resource_of(given) == resource


# --- how ---


def test_a_query_in_the_endpoint_is_kept_and_what_is_asked_for_is_quoted() -> None:
    place = Surroundings("app_service", "http://localhost/token?a=b", "", "canary")
    request = managed_identity_request(place, SYSTEM, IdentityRequest("api://x&y=z", "c-1"))
    assert request.url == "http://localhost/token?a=b&api-version=2019-08-01&resource=api%3A%2F%2Fx%26y%3Dz"
    assert request.headers["x-identity-header"] == "canary"
    assert request.headers["metadata"] == "true"
    assert "canary" not in repr(request)


def test_cloud_shell_gets_a_form() -> None:
    request = managed_identity_request(Surroundings("cloud_shell", "http://localhost/t", ""), SYSTEM, asked())
    assert (request.method, request.url) == ("POST", "http://localhost/t")
    assert request.body == b"resource=https%3A%2F%2Fvault.azure.net"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


def asked() -> IdentityRequest:
    return IdentityRequest(VAULT, "c-1", ("cp1",), "ab" * 32)


@pytest.mark.parametrize(
    ("source", "status", "pauses"),
    [
        ("imds", 404, [1, 2, 4, None]),
        ("imds", 429, [1, 2, 4, None]),
        ("imds", 599, [1, 2, 4, None]),
        ("imds", 600, [None]),
        ("imds", 410, [10] * 7 + [None]),
        ("imds", 400, [None]),
        ("azure_arc", 404, [1, 1, 1, None]),
        ("azure_arc", 410, [None]),
        ("app_service", 502, [None]),
        ("app_service", 504, [1, 1, 1, None]),
        ("service_fabric", 401, [None]),
    ],
)
def test_how_often_to_ask_again(source: Any, status: int, pauses: list[float | None]) -> None:
    assert [pause_before_retry(source, status, sent) for sent in range(len(pauses))] == pauses


# --- what came ---


def parsed(now: float = NOW, **fields: Any) -> Any:
    body = json.dumps({"access_token": "at", **fields}).encode()
    return parse_managed_identity_reply("imds", HttpResponse(200, {}, body), correlation_id="c-1", secrets=(), now=now)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"expires_in": 3600}, 3600),
        ({"expires_in": "3599"}, 3599),
        ({"expires_in": "3599.9"}, 3599),
        ({"expires_in": 60, "expires_on": "1700003600"}, 60),
        ({"expires_in": "", "expires_on": 1_700_003_600}, 3600),
        ({"expires_in": None, "expires_on": "1700003600"}, 3600),
        ({"expires_on": "1699999999"}, 0),
        ({"expires_on": "2023-11-14T23:13:20Z"}, 3600),
        ({"expires_on": "2023-11-14T23:13:20.0000000+00:00"}, 3600),
        ({"expires_on": "2023-11-15T01:13:20+02:00"}, 3600),
        ({"expires_on": "2023-11-14T23:13:20"}, 3600),
        ({"expires_on": "11/14/2023 11:13:20 PM +00:00"}, 3600),
        ({"expires_on": "11/15/2023 12:13:20 am +01:00"}, 3600),
        ({"expires_on": "11/14/2023 12:13:20 PM -11:00"}, 3600),
        ({"expires_on": "11/14/2023 23:13:20 +00:00"}, 3600),
        ({"expires_on": "11/15/2023 0:3:0 AM +00:00"}, None),
        ({"expires_in": 10**9}, 90 * 86_400),
        ({"expires_on": "99999999999999"}, 90 * 86_400),
    ],
)
def test_lifetimes_are_seconds_or_times_as_numbers_or_text(fields: dict[str, Any], seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(ProtocolError):
            parsed(**fields)
        return
    reply = parsed(**fields)
    assert (reply.expires_in, reply.token_type) == (seconds, "Bearer")


def test_twelve_hours_are_read_in_a_program_of_another_language(tmp_path: Path) -> None:
    """In German there are no words for AM and PM."""
    localedef = shutil.which("localedef")
    if localedef is None:
        pytest.skip("needs localedef, which makes a locale")
    made = tmp_path / "de_DE.UTF-8"
    subprocess.run([localedef, "-i", "de_DE", "-f", "UTF-8", str(made)], check=False, capture_output=True)
    if not made.exists():
        pytest.skip("needs the sources of locales")
    script = """
import locale
from warmtoken.protocol.managed_identity_reply import parse_managed_identity_reply
from warmtoken.transport import HttpResponse
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
body = b'{"access_token": "t", "expires_on": "11/14/2023 11:13:20 PM +00:00"}'
reply = parse_managed_identity_reply(
    "machine_learning", HttpResponse(200, {}, body), correlation_id="", secrets=(), now=1_700_000_000.0
)
print(reply.expires_in)
"""
    environ = os.environ | {"LOCPATH": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert ran.stdout == "3600\n"


@pytest.mark.parametrize(
    ("fields", "refresh_in"),
    [
        ({"expires_in": 7199}, None),
        ({"expires_in": 7200}, 3600),
        ({"expires_in": "7201"}, 3600),
        ({"expires_on": 1_700_086_400}, 43_200),
        ({"expires_in": 86_400, "refresh_in": "7"}, 7),
        ({"expires_in": 60, "refresh_in": 30}, 30),
        ({"expires_in": 10**9}, 45 * 86_400),
    ],
)
def test_half_of_a_long_life_is_inferred(fields: dict[str, Any], refresh_in: int | None) -> None:
    """MSAL: from 7200 seconds on, since these replies name no refresh_in."""
    assert parsed(**fields).refresh_in == refresh_in


def test_nothing_of_a_user_is_read() -> None:
    reply = parsed(expires_in=60, refresh_token="rt", id_token="a.b.c", client_info="!", scope=7, foci="1")
    assert (reply.refresh_token, reply.id_token, reply.client_info, reply.scopes) == (None, None, None, None)
    assert reply.family_id is None
