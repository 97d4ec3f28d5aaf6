"""Agent identities of Microsoft Entra: credentials for a path (FMI), and users of an agent's own (user_fic)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msal
import pytest
from support import msal_apps
from support.microsoft import AsyncMicrosoft, Microsoft
from support.world import Client, StillClock, World

import warmtoken
import warmtoken.aio
from warmtoken import (
    AppTokenProvider,
    AppTokenProviderResult,
    ClientAssertion,
    ClientError,
    ClientSecret,
    TokenCache,
    UiRequiredError,
)
from warmtoken.credentials import ClientCredential
from warmtoken.testing import Clock

TENANT = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
GUEST = "3a7e1d2c-0000-4c40-97bc-f7a23c703084"
ENTRA = f"https://login.microsoftonline.com/{TENANT}"
EXCHANGE = ["api://AzureADTokenExchange/.default"]
SCOPES = ["Mail.Read"]
USER = "0f4880d8-1111-4c40-97bc-f7a23c703084"

Make = Callable[..., Client]


@pytest.fixture
def clock() -> Clock:
    return StillClock()


@pytest.fixture
def service(clock: Clock) -> Microsoft:
    claims = {"oid": USER, "tid": TENANT, "preferred_username": "agent@contoso.example"}
    return Microsoft(clock, f"https://login.microsoftonline.com/{TENANT}/v2.0", claims, {"uid": USER, "utid": TENANT})


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, service: Microsoft) -> Iterator[Make]:
    module: Any = warmtoken if request.param == "sync" else warmtoken.aio
    with asyncio.Runner() as runner:

        def run(call: Callable[[], Any]) -> Any:
            outcome = call()
            return runner.run(outcome) if asyncio.iscoroutine(outcome) else outcome

        def made(client_id: str = "cli", credential: ClientCredential | None = None, authority: str = ENTRA) -> Client:
            transport = service if request.param == "sync" else AsyncMicrosoft(service)
            cache = TokenCache(tmp_path / "cache", key=bytes(32), clock=clock)
            credential = credential or ClientSecret("s")
            return Client(
                module.ConfidentialClientApplication(
                    client_id, credential=credential, authority=authority, cache=cache, transport=transport
                ),
                run,
            )

        yield made


# --- credentials for a path ---


def test_a_path_goes_along_and_its_token_serves_that_path_alone(make: Make, service: Microsoft) -> None:
    """MSAL.NET's WithFmiPath: the path is part of the token's key."""
    app = make()
    plain = app.acquire_token_for_client(EXCHANGE)
    assert "fmi_path" not in service.form()
    first = app.acquire_token_for_client(EXCHANGE, fmi_path="agent-1")
    assert service.form()["fmi_path"] == "agent-1"
    second = app.acquire_token_for_client(EXCHANGE, fmi_path="agent-2")
    assert len({plain.access_token, first.access_token, second.access_token}) == 3
    service.urls()
    for each, levels in ((app, ["store", "L1"]), (make(), ["store", "L1"])):
        for level in levels:
            again = [each.acquire_token_for_client(EXCHANGE, fmi_path=path) for path in ("agent-1", "agent-2")]
            assert [one.access_token for one in again] == [first.access_token, second.access_token]
            assert [one.metadata.cache_level for one in again] == [level] * 2
        assert each.acquire_token_for_client(EXCHANGE).access_token == plain.access_token
    assert service.urls() == []


def test_no_tenant_and_no_path_look_like_another_pair(make: Make, service: Microsoft) -> None:
    app = make()
    asked: list[dict[str, str]] = [
        {"fmi_path": "agent-1"},
        {"fmi_path": "agent-1", "tenant_id": GUEST},
        {"fmi_path": f"agent-1@{GUEST}"},
        {"tenant_id": GUEST},
        {"fmi_path": "agent-1", "client_claims": '{"access_token":{"name":null}}'},
        {},
    ]
    tokens = [app.acquire_token_for_client(EXCHANGE, **each).access_token for each in asked]
    assert len(set(tokens)) == len(asked)
    for _ in range(2):
        assert [app.acquire_token_for_client(EXCHANGE, **each).access_token for each in asked] == tokens


def test_a_path_can_be_asked_for_anew(make: Make, service: Microsoft, clock: Clock) -> None:
    app = make()
    first = app.acquire_token_for_client(EXCHANGE, fmi_path="agent-1")
    app.acquire_token_for_client(EXCHANGE, fmi_path="agent-1")
    for bypass in ({"force_refresh": True}, {"claims": '{"access_token":{"nbf":null}}'}, {"min_validity": 3601}):
        assert app.acquire_token_for_client(EXCHANGE, fmi_path="agent-1", **bypass).access_token != first.access_token
        assert service.form()["fmi_path"] == "agent-1"
    clock.advance(3600)
    service.urls()
    app.acquire_token_for_client(EXCHANGE, fmi_path="agent-1")
    assert len(service.urls()) == 1


def test_a_path_is_refused_where_nobody_would_heed_it(make: Make, service: Microsoft) -> None:
    elsewhere = [
        make(authority="https://contoso.ciamlogin.com/contoso.onmicrosoft.com"),
        make(authority="https://issuer.example"),
        make(credential=AppTokenProvider(lambda _: AppTokenProviderResult("at", 3600))),
    ]
    for app in elsewhere:
        with pytest.raises(ClientError, match="fmi_path_not_supported"):
            app.acquire_token_for_client(EXCHANGE, fmi_path="agent-1")
    assert service.urls() == []


@pytest.mark.parametrize(
    ("path", "error"), [("", ValueError), (" ", ValueError), (5, TypeError), ("\ud800", ValueError)]
)
def test_what_is_no_path_is_refused(make: Make, service: Microsoft, path: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected fmi_path to"):
        make().acquire_token_for_client(EXCHANGE, fmi_path=path)
    assert service.urls() == []


def test_a_path_is_no_parameter_of_all_requests() -> None:
    with pytest.raises(ValueError, match="pass it to acquire_token_for_client"):
        warmtoken.ConfidentialClientApplication(
            "cli", credential=ClientSecret("s"), authority=ENTRA, parameters={"fmi_path": "agent-1"}
        )


# --- a user of the agent's own ---


@pytest.mark.parametrize(
    ("named", "field", "mailbox"),
    [
        ({"user_object_id": USER}, {"user_id": USER}, f"oid:{USER}@{TENANT}"),
        ({"username": "agent@contoso.example"}, {"username": "agent@contoso.example"}, "upn:agent@contoso.example"),
    ],
)
def test_the_credential_is_traded_for_the_users_tokens_which_are_then_cached(
    make: Make, service: Microsoft, clock: Clock, named: dict[str, str], field: dict[str, str], mailbox: str
) -> None:
    app = make()
    result = app.acquire_token_by_user_federated_identity_credential(SCOPES, "instance-token", **named)
    assert service.form() == {
        "client_id": "cli",
        "client_secret": "s",
        "grant_type": "user_fic",
        "user_federated_identity_credential": "instance-token",
        "scope": "Mail.Read offline_access openid profile",
        "client_info": "1",
        **field,
    }
    assert service.requests[-1].headers["x-anchormailbox"] == mailbox
    assert result.metadata.token_source == "identity_provider"
    assert (result.account.home_account_id, result.account.account_source) == (f"{USER}.{TENANT}", "user_fic")
    assert app.get_accounts() == [result.account]
    assert app.acquire_token_silent(SCOPES, result.account).access_token == result.access_token
    clock.advance(3600)
    assert app.acquire_token_silent(SCOPES, result.account).access_token != result.access_token
    assert service.form()["grant_type"] == "refresh_token"


def test_another_users_tokens_are_refused_and_not_stored(make: Make, service: Microsoft) -> None:
    service.claims["oid"] = "another"
    app = make()
    with pytest.raises(ClientError, match="user_mismatch"):
        app.acquire_token_by_user_federated_identity_credential(SCOPES, "instance-token", user_object_id=USER)
    assert app.get_accounts() == []
    service.claims["oid"] = USER.upper()
    app.acquire_token_by_user_federated_identity_credential(SCOPES, "instance-token", user_object_id=USER)
    assert len(app.get_accounts()) == 1


def test_tokens_of_nobody_are_not_those_of_the_user_that_was_asked_for(make: Make, service: Microsoft) -> None:
    service.omitted = frozenset({"id_token"})
    service.client_info = {"uid": "another", "utid": TENANT}
    app = make()
    with pytest.raises(ClientError, match="user_mismatch"):
        app.acquire_token_by_user_federated_identity_credential(SCOPES, "instance-token", user_object_id=USER)
    assert app.get_accounts() == []


def test_a_refusal_is_typed_and_shows_no_credential(make: Make, service: Microsoft) -> None:
    service.refusal = {"error": "invalid_grant", "error_description": "AADSTS50076: instance-token is not enough"}
    with pytest.raises(UiRequiredError) as refused:
        make().acquire_token_by_user_federated_identity_credential(SCOPES, "instance-token", user_object_id=USER)
    assert refused.value.code == "invalid_grant"
    assert "instance-token" not in f"{refused.value} {refused.value!r} {refused.value.error_description}"


def test_claims_of_a_challenge_go_along(make: Make, service: Microsoft) -> None:
    make().acquire_token_by_user_federated_identity_credential(
        SCOPES, "instance-token", user_object_id=USER, claims='{"access_token":{"nbf":null}}', tenant_id=GUEST
    )
    assert service.form()["claims"] == '{"access_token":{"nbf":null}}'
    assert service.requests[-1].url == f"https://login.microsoftonline.com/{GUEST}/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "either username or user_object_id, got none"),
        ({"username": "a", "user_object_id": "b"}, "either username or user_object_id, got both"),
        ({"user_object_id": " "}, "user_object_id to have something in it"),
        ({"username": 5}, "username to be a str"),
        ({"username": "a", "assertion": "Bearer abc.canary"}, "assertion to be a token"),
        ({"username": "a", "assertion": ""}, "assertion to be a token"),
        ({"username": "a", "assertion": None}, "assertion to be a str"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    make: Make, service: Microsoft, arguments: dict[str, Any], error: str
) -> None:
    given = {"assertion": "instance-token", **arguments}
    with pytest.raises((TypeError, ValueError), match=error) as refused:
        make().acquire_token_by_user_federated_identity_credential(SCOPES, **given)
    assert "canary" not in str(refused.value)
    assert service.urls() == []


def test_a_tenant_and_a_credential_are_needed(make: Make, service: Microsoft) -> None:
    provider = AppTokenProvider(lambda _: AppTokenProviderResult("at", 3600))
    for app, code in (
        (make(authority="https://login.microsoftonline.com/common"), "tenant_required"),
        (make(credential=provider), "client_credential_required"),
    ):
        with pytest.raises(ClientError, match=code):
            app.acquire_token_by_user_federated_identity_credential(SCOPES, "instance-token", username="a")
    assert service.urls() == []


def test_other_issuers_refuse_the_grant(world: World) -> None:
    with pytest.raises(warmtoken.ServiceError, match="unsupported_grant_type"):
        world.confidential().acquire_token_by_user_federated_identity_credential(SCOPES, "token", username="alice")


def test_the_chain_from_blueprint_to_user(make: Make, service: Microsoft) -> None:
    """The blueprint gets the agent's credential, with that the agent a token of its own, and with that the user's."""
    blueprint = make("blueprint", ClientSecret("of the blueprint"))
    forms: list[dict[str, str]] = []

    def credential() -> str:
        kept = warmtoken.ConfidentialClientApplication(
            "blueprint",
            credential=ClientSecret("of the blueprint"),
            authority=ENTRA,
            cache=blueprint.application.cache,
            transport=service,
        )
        token = kept.acquire_token_for_client(EXCHANGE, fmi_path="cli").access_token
        forms.append(service.form())
        return token

    agent = make("cli", ClientAssertion(credential))
    instance = agent.acquire_token_for_client(EXCHANGE)
    assert forms[-1]["fmi_path"] == "cli"
    own = service.form()
    user = agent.acquire_token_by_user_federated_identity_credential(SCOPES, instance.access_token, user_object_id=USER)
    assert own["client_assertion"] == service.form()["client_assertion"] != instance.access_token
    assert service.form()["user_federated_identity_credential"] == instance.access_token
    assert agent.acquire_token_silent(SCOPES, user.account).access_token == user.access_token
    assert [request.url for request in service.requests] == [f"{ENTRA}/oauth2/v2.0/token"] * 3  # one of each


# --- MSAL beside ---


def test_both_requests_are_msals(tmp_path: Path) -> None:
    entra = msal_apps.Entra(Clock().time())
    theirs = msal.ConfidentialClientApplication(
        msal_apps.CLIENT, client_credential="s", authority=msal_apps.TENANT, http_client=entra
    )
    cache = TokenCache(tmp_path / "cache", key=bytes(32))
    ours = warmtoken.ConfidentialClientApplication(
        msal_apps.CLIENT, credential=ClientSecret("s"), authority=msal_apps.TENANT, cache=cache, transport=entra
    )

    def forms(acquire: str, *arguments: Any, **named: str) -> list[dict[str, str]]:
        sent = []
        for app in (theirs, ours):
            getattr(app, acquire)(*arguments, **named)
            fields = {name: str(value) for name, value in entra.last.items() if value}
            sent.append(fields | {"scope": " ".join(sorted(fields["scope"].split()))})
        return sent

    msals, own = forms("acquire_token_for_client", EXCHANGE, fmi_path="a/b")
    assert own == {name: value for name, value in msals.items() if name != "client_info"}  # it is of no user
    for user in ({"username": "alice@contoso.example"}, {"user_object_id": entra.uid}):
        msals, own = forms("acquire_token_by_user_federated_identity_credential", SCOPES, "token", **user)
        assert own == msals


def test_a_token_for_a_path_that_msal_dotnet_kept_serves_that_path(tmp_path: Path) -> None:
    entra = msal_apps.Entra(Clock().time())
    kept = msal.SerializableTokenCache()
    msal.ConfidentialClientApplication(
        msal_apps.CLIENT, client_credential="s", authority=msal_apps.TENANT, http_client=entra, token_cache=kept
    ).acquire_token_for_client(EXCHANGE)
    text = json.loads(kept.serialize())
    (token,) = text["AccessToken"].values()
    token["ext"] = {"fmi_path": "a/b"}  # which MSAL.NET writes, and MSAL Python leaves out
    cache = TokenCache(tmp_path / "cache", key=bytes(32))
    assert cache.import_msal(json.dumps(text)).imported["AccessToken"] == 1
    ours = warmtoken.ConfidentialClientApplication(
        msal_apps.CLIENT, credential=ClientSecret("s"), authority=msal_apps.TENANT, cache=cache, transport=entra
    )
    assert ours.acquire_token_for_client(EXCHANGE, fmi_path="a/b").access_token == token["secret"]
    assert ours.acquire_token_for_client(EXCHANGE).access_token != token["secret"]
