"""A web API that calls another one on behalf of its caller (RFC 7523, section 2.1; MSAL.NET's OnBehalfOf)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from flows.test_single_flight import at_once, both_are_there, tokens_of
from support.microsoft import AsyncMicrosoft, Microsoft
from support.on_behalf_of import API, DAY, GRANT, caller, grants, plains, renewed, sessions
from support.world import ALICE, BOB, Client, World

import warmtoken
import warmtoken.aio
from warmtoken import AuthenticationResult, BackgroundRefresh, ClientSecret, ServiceError, UiRequiredError, _engine
from warmtoken.cache.sealing import RecordType
from warmtoken.flows.freshness import PAUSE

TENANT = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
GUEST = "3a7e1d2c-0000-4c40-97bc-f7a23c703084"


@pytest.fixture
def assertion(world: World) -> str:
    return caller(world)


@pytest.fixture
def api(world: World) -> Client:
    return world.confidential()


# --- the cache ---


def test_a_token_is_asked_for_once_and_then_cached_with_all_that_belongs_to_it(
    world: World, api: Client, assertion: str
) -> None:
    """MSAL.NET: AcquireTokenOnBehalfOf reads its own cache first; MSAL Python's never does."""
    results = [api.acquire_token_on_behalf_of(assertion, API) for _ in range(4)]
    assert [result.metadata.cache_level for result in results] == ["none", "store", "L1", "L1"]
    assert results[0].metadata.cache_refresh_reason == "no_cached_access_token"
    assert grants(world) == {GRANT: 1}
    first = results[0]
    assert (first.account.username, first.id_token_claims["preferred_username"]) == (ALICE, ALICE)
    for result in results:
        for name in ("access_token", "account", "id_token", "tenant_id", "unique_id", "scopes", "expires_on"):
            assert getattr(result, name) == getattr(first, name), name


def test_the_request_unites_the_scopes_with_the_reserved_ones(world: World, api: Client, assertion: str) -> None:
    api.acquire_token_on_behalf_of(assertion, API)
    (asked,) = world.idp.token_requests
    assert set(asked.scope.split()) == {*API, "openid", "profile", "offline_access"}
    assert (asked.client_id, asked.grant_type) == ("service", GRANT)


def test_another_object_finds_the_token_in_the_file(world: World, api: Client, assertion: str) -> None:
    first = api.acquire_token_on_behalf_of(assertion, API)
    again = world.confidential(cache=world.new_cache()).acquire_token_on_behalf_of(assertion, API)
    assert (again.access_token, again.account, again.id_token) == (first.access_token, first.account, first.id_token)
    assert again.metadata.cache_level == "store"


def test_scopes_are_found_as_in_silent_acquisition(world: World, api: Client, assertion: str) -> None:
    first = api.acquire_token_on_behalf_of(assertion, API)
    for scopes in (["GRAPH/READ"], [*reversed(API)], ["graph/write", "openid"]):
        assert api.acquire_token_on_behalf_of(assertion, scopes).access_token == first.access_token
    assert api.acquire_token_on_behalf_of(assertion, ["other"]).access_token != first.access_token
    assert grants(world) == {GRANT: 2}


def test_each_assertion_has_tokens_of_its_own(world: World, api: Client) -> None:
    """MSAL.NET: a token serves the request whose assertion has the same hash (OboCacheKey)."""
    assertions = [caller(world), caller(world), caller(world, BOB)]
    world.idp.reset_counters()
    for _ in range(3):
        results = [api.acquire_token_on_behalf_of(assertion, API) for assertion in assertions]
        assert len(tokens_of(results)) == 3
        assert [result.account.username for result in results] == [ALICE, ALICE, BOB]
    assert grants(world) == {GRANT: 3}
    assert api.acquire_token_on_behalf_of(assertions[0], API).metadata.cache_level == "L1"


def test_an_assertion_is_compared_with_case(world: World, api: Client, assertion: str) -> None:
    api.acquire_token_on_behalf_of(assertion, API)
    with pytest.raises(UiRequiredError):
        api.acquire_token_on_behalf_of(assertion.swapcase(), API)


def test_no_request_of_the_user_or_of_the_client_gets_the_token(world: World, api: Client, assertion: str) -> None:
    """MSAL.NET: the partition is the hash of the assertion, and not the account."""
    for _ in range(3):
        got = api.acquire_token_on_behalf_of(assertion, API)
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        api.acquire_token_silent(API, got.account)
    assert api.acquire_token_for_client(API).access_token != got.access_token


def test_no_token_of_the_user_or_of_the_client_serves_an_assertion(world: World, assertion: str) -> None:
    world.idp.add_client("both", "secret")
    user = world.sign_in(world.public("both2"), scopes=API)
    world.idp.add_client("both2", "secret")
    api = world.confidential("both2", "secret")
    own = api.acquire_token_for_client(API)
    for _ in range(3):
        api.acquire_token_silent(API, user.account)
        got = api.acquire_token_on_behalf_of(assertion, API)
    assert got.access_token not in {user.access_token, own.access_token}
    assert world.idp.counters.grants[GRANT] == 1


def test_another_client_does_not_find_it(world: World, api: Client, assertion: str) -> None:
    world.idp.add_client("other", "secret")
    tokens = {
        client.acquire_token_on_behalf_of(assertion, API).access_token
        for client in (api, world.confidential("other", "secret"))
    }
    assert len(tokens) == 2


def test_the_refresh_token_of_an_ordinary_call_is_discarded(world: World, api: Client, assertion: str) -> None:
    """MSAL.NET: long-running on behalf of alone keeps it."""
    first = api.acquire_token_on_behalf_of(assertion, API)
    kept = json.loads(world.cache.export_msal())["RefreshToken"].values()
    assert {entry["client_id"] for entry in kept} == {"cli"}
    world.clock.advance(3600)
    second = api.acquire_token_on_behalf_of(assertion, API)
    assert second.access_token != first.access_token
    assert second.metadata.cache_refresh_reason == "expired"
    assert grants(world) == {GRANT: 2}


def test_the_assertion_is_in_no_record(world: World, api: Client, assertion: str) -> None:
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    api.acquire_token_on_behalf_of(assertion, API)
    # The program that the user signed in to has it as its access token; that record apart.
    records = [plain for kind, plain in plains(world) if not (kind is RecordType.ACCESS_TOKEN and b"cli" in plain)]
    assert len(records) > 5
    assert not any(assertion.encode() in plain for plain in records)
    assert any(session.session_key.encode() in plain for plain in records)


# --- what passes the cache by ---


def test_force_refresh_claims_and_min_validity(world: World, api: Client, assertion: str) -> None:
    def ask(**named: Any) -> AuthenticationResult:
        result: AuthenticationResult = api.acquire_token_on_behalf_of(assertion, API, **named)
        return result

    first = [ask() for _ in range(3)][-1]
    forced = ask(force_refresh=True)
    challenged = ask(claims='{"access_token":{}}', correlation_id="mine")
    assert len(tokens_of([first, forced, challenged])) == 3
    assert (challenged.correlation_id, forced.metadata.cache_refresh_reason) == ("mine", "force_refresh_or_claims")
    assert ask().access_token == challenged.access_token
    assert ask(min_validity=60, correlation_id="m").access_token == challenged.access_token
    assert ask(min_validity=3601).access_token != challenged.access_token
    assert [asked.claims for asked in world.idp.token_requests] == [None, None, '{"access_token":{}}', None]


def test_client_claims_tell_tokens_apart_and_do_not_bypass_the_cache(world: World, api: Client, assertion: str) -> None:
    kinds = ['{"access_token":{"a":null}}', '{"access_token":{"b":null}}', None]
    for _ in range(3):
        assert (
            len({api.acquire_token_on_behalf_of(assertion, API, client_claims=kind).access_token for kind in kinds})
            == 3
        )
    assert [asked.claims for asked in world.idp.token_requests] == kinds


def test_a_token_that_an_api_refused_is_not_served_and_its_successor_is(
    world: World, api: Client, assertion: str
) -> None:
    refused = api.acquire_token_on_behalf_of(assertion, API)
    named = hashlib.sha256(refused.access_token.encode()).hexdigest()
    results = [api.acquire_token_on_behalf_of(assertion, API, refresh_if_sha256=named) for _ in range(3)]
    assert [result.metadata.token_source for result in results] == ["identity_provider", "cache", "cache"]
    assert refused.access_token not in tokens_of(results)


# --- what the provider says ---


def test_a_challenge_comes_with_its_claims_for_the_caller(world: World, api: Client, assertion: str) -> None:
    claims = '{"access_token":{"capolids":{"essential":true,"values":["c1"]}}}'
    world.idp.fail_next("token", status=400, body={"error": "interaction_required", "claims": claims})
    with pytest.raises(UiRequiredError) as challenged:
        api.acquire_token_on_behalf_of(assertion, API)
    assert (challenged.value.code, challenged.value.claims) == ("interaction_required", claims)
    assert assertion not in f"{challenged.value!r}{challenged.value}"
    assert api.acquire_token_on_behalf_of(caller(world), API).metadata.token_source == "identity_provider"


@pytest.mark.parametrize("kind", ["unknown", "expired", "revoked", "a client's own"])
def test_an_assertion_that_is_worth_nothing_needs_the_user(world: World, api: Client, kind: str) -> None:
    assertion = caller(world) if kind != "unknown" else "no.such.token"
    if kind == "expired":
        world.clock.advance(DAY)
    elif kind == "revoked":
        world.idp.revoke_user(ALICE)
    elif kind == "a client's own":
        assertion = api.acquire_token_for_client(API).access_token
    with pytest.raises(UiRequiredError) as refused:
        api.acquire_token_on_behalf_of(assertion, API)
    assert refused.value.code == "invalid_grant"


def test_a_wait_of_one_assertion_is_none_of_another(world: World, api: Client, assertion: str) -> None:
    world.idp.fail_next("token", status=429, headers={"Retry-After": "60"})
    for _ in range(2):
        with pytest.raises(ServiceError):
            api.acquire_token_on_behalf_of(assertion, API)
    assert world.token_requests() == 1
    assert api.acquire_token_on_behalf_of(caller(world, BOB), API).account.username == BOB


def test_a_token_within_its_margin_serves_while_the_provider_fails(world: World, api: Client, assertion: str) -> None:
    first = api.acquire_token_on_behalf_of(assertion, API)
    world.clock.advance(3400)
    world.idp.fail_next("token", times=2, status=503)
    result = api.acquire_token_on_behalf_of(assertion, API)
    assert (result.access_token, result.account, result.id_token) == (first.access_token, first.account, first.id_token)
    assert result.metadata.cache_refresh_reason == "expired"


def test_an_overdue_token_is_served_and_replaced_in_the_background(world: World, assertion: str) -> None:
    told: list[BackgroundRefresh] = []
    api = world.confidential(on_background_refresh=told.append)
    world.idp.refresh_in = 1800
    first = api.acquire_token_on_behalf_of(assertion, API)
    world.clock.advance(2200)
    assert api.acquire_token_on_behalf_of(assertion, API).access_token == first.access_token
    world.settle(api)
    assert [(outcome.account, outcome.error) for outcome in told] == [(first.account, None)]
    world.clock.advance(PAUSE)
    assert api.acquire_token_on_behalf_of(assertion, API).access_token != first.access_token


def test_a_reply_that_does_not_say_who_the_user_is_serves_all_the_same(
    world: World, api: Client, assertion: str
) -> None:
    world.idp.omit_id_token = True
    results = [api.acquire_token_on_behalf_of(assertion, API) for _ in range(3)]
    assert [(result.account, result.id_token, result.metadata.cache_level) for result in results] == [
        (None, None, "none"),
        (None, None, "store"),
        (None, None, "L1"),
    ]
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    assert renewed(world, api, session.session_key).account is None
    assert api.stop_long_running_on_behalf_of(session.session_key) is True


# --- one request for all ---


def test_one_request_for_all_who_have_the_same_assertion(world: World, api: Client, assertion: str) -> None:
    world.idp.token_delay = 0.2
    results = at_once(world, api, lambda client, _: client.acquire_token_on_behalf_of(assertion, API), 16)
    assert len(tokens_of(results)) == 1
    assert grants(world) == {GRANT: 1}


def test_callers_do_not_wait_for_each_other(world: World) -> None:
    """The request of each is held until that of the other is there."""
    assertions = [caller(world), caller(world, BOB)]
    api = world.confidential(before=both_are_there())
    results = at_once(world, api, lambda client, number: client.acquire_token_on_behalf_of(assertions[number], API), 2)
    assert [result.account.username for result in results] == [ALICE, BOB]


# --- accounts ---


def test_callers_are_not_listed_since_silent_acquisition_cannot_serve_them(
    world: World, api: Client, assertion: str
) -> None:
    """MSAL.NET: account and id token lie under the home account id, and GetAccounts asks for a refresh token."""
    account = api.acquire_token_on_behalf_of(assertion, API).account
    api.initiate_long_running_on_behalf_of(assertion, API)
    assert api.get_accounts() == []
    assert api.get_account(account.home_account_id) is None
    assert [profile.local_account_id for profile in api.get_tenant_profiles(account)] == [account.local_account_id]


def test_a_removed_account_takes_all_that_was_got_on_its_behalf_along(world: World, api: Client) -> None:
    hers = [caller(world), caller(world)]
    his = caller(world, BOB)
    same_file = world.confidential(cache=world.new_cache())
    before = [api.acquire_token_on_behalf_of(assertion, API) for assertion in (*hers, his)]
    session = api.initiate_long_running_on_behalf_of(hers[0], ["other"], session_key="job")
    for _ in range(3):
        for assertion in (*hers, his):
            same_file.acquire_token_on_behalf_of(assertion, API)
        same_file.acquire_token_in_long_running_on_behalf_of("job", ["other"])
    api.remove_account(session.result.account)
    world.idp.reset_counters()
    for client in (same_file, api):
        with pytest.raises(warmtoken.ClientError, match="obo_cache_key_not_in_cache_error"):
            client.acquire_token_in_long_running_on_behalf_of("job", ["other"])
        assert client.acquire_token_on_behalf_of(his, API).access_token == before[2].access_token
    assert grants(world) == {}
    after = [same_file.acquire_token_on_behalf_of(assertion, API) for assertion in hers]
    assert not tokens_of(after) & tokens_of(before)


def test_where_another_library_removes_the_account_nothing_of_it_is_served(
    world: World, api: Client, assertion: str
) -> None:
    """MSAL's applications on the same cache know accounts, but no sessions."""
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    for _ in range(3):
        before = api.acquire_token_on_behalf_of(assertion, API)
    vault, owner = world.cache.vault(), api.application._context.owner(session.result.account.home_account_id)
    vault.shared.commit([(_engine.DELETE_PREFIX, _engine.ACCOUNT, vault.keys.account(owner))])
    with pytest.raises(warmtoken.ClientError, match="obo_cache_key_not_in_cache_error"):
        api.acquire_token_in_long_running_on_behalf_of(session.session_key, API)
    assert api.acquire_token_on_behalf_of(assertion, API).access_token != before.access_token


def test_what_else_is_written_does_not_drop_a_token_from_memory(world: World, api: Client, assertion: str) -> None:
    for _ in range(3):
        api.acquire_token_on_behalf_of(assertion, API)
    api.acquire_token_for_client(API)
    assert api.acquire_token_on_behalf_of(assertion, API).metadata.cache_level == "L1"


def test_a_sign_in_does_not_hide_what_a_removal_has_to_take_along(world: World, assertion: str) -> None:
    website = world.public("website")
    world.idp.add_client("website", "secret")
    api = world.confidential("website", "secret")
    got = api.acquire_token_on_behalf_of(assertion, API)
    world.idp.add_client("website", None)
    account = world.sign_in(website).account
    world.idp.add_client("website", "secret")
    assert api.acquire_token_on_behalf_of(assertion, API).access_token == got.access_token
    api.remove_account(account)
    assert api.acquire_token_on_behalf_of(assertion, API).access_token != got.access_token


def test_the_list_of_a_users_sessions_ends_with_their_tokens(world: World, api: Client) -> None:
    """A service that meets a new assertion each hour must not fill the file."""
    for _ in range(40):
        api.acquire_token_on_behalf_of(caller(world), API)
        world.clock.advance(3600 + 301)
        assert sessions(world) <= 30  # 20 are met once in 50,000 times


# --- tenants ---


@pytest.fixture
def service(world: World) -> Microsoft:
    issuer = "https://login.microsoftonline.com/{tenant}/v2.0"
    claims = {"aud": "api", "oid": "oid-{tenant}", "tid": "{tenant}", "preferred_username": ALICE}
    return Microsoft(world.clock, issuer, claims, {"uid": "uid-1", "utid": TENANT})


def at_entra(world: World, service: Microsoft, tenant: str) -> Client:
    module = warmtoken if world.mode == "sync" else warmtoken.aio
    application = module.ConfidentialClientApplication(
        "api",
        credential=ClientSecret("secret"),
        authority=f"https://login.microsoftonline.com/{tenant}",
        cache=world.cache,
        transport=service if world.mode == "sync" else AsyncMicrosoft(service),
    )
    return Client(application, world.run)


def test_entra_is_asked_in_its_words(world: World, service: Microsoft) -> None:
    api = at_entra(world, service, TENANT)
    api.acquire_token_on_behalf_of("a.b.c", API)
    assert service.form() == {
        "client_id": "api",
        "client_secret": "secret",
        "client_info": "1",
        "grant_type": GRANT,
        "assertion": "a.b.c",
        "requested_token_use": "on_behalf_of",
        "scope": "graph/read graph/write offline_access openid profile",
    }


@pytest.mark.parametrize("authority", ["common", "organizations"])
def test_without_a_tenant_a_request_gets_what_such_a_request_has_brought(
    world: World, service: Microsoft, authority: str
) -> None:
    """MSAL.NET drops the tenant filter there; but what another tenant gave is not what was asked for."""
    api = at_entra(world, service, authority)
    service.claims |= {"tid": TENANT, "oid": "oid-home", "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0"}
    home = api.acquire_token_on_behalf_of("a.b.c", API)
    service.claims |= {"tid": GUEST, "oid": "oid-guest", "iss": f"https://login.microsoftonline.com/{GUEST}/v2.0"}
    guest = api.acquire_token_on_behalf_of("a.b.c", API, tenant_id=GUEST)
    assert [url.split("/")[3] for url in service.urls()] == [authority, GUEST]
    for _ in range(3):
        for first, named in ((home, {}), (guest, {"tenant_id": GUEST})):
            again = api.acquire_token_on_behalf_of("a.b.c", API, **named)
            assert again.access_token == first.access_token
            assert (again.tenant_id, again.unique_id) == (first.tenant_id, first.unique_id)
            assert (again.account.tenant_id, again.id_token) == (first.tenant_id, first.id_token)
    assert (home.tenant_id, guest.tenant_id) == (TENANT, GUEST)
    assert service.urls() == []


# --- arguments ---


@pytest.mark.parametrize(
    ("given", "error"),
    [
        pytest.param(7, TypeError, id="number"),
        pytest.param(None, TypeError, id="none"),
        pytest.param(b"canary", TypeError, id="bytes"),
        pytest.param("", ValueError, id="empty"),
        pytest.param(" ", ValueError, id="blank"),
        pytest.param("Bearer canary", ValueError, id="with its type"),
        pytest.param("canary\n", ValueError, id="with a line end"),
        pytest.param("canäry", ValueError, id="no ASCII"),
    ],
)
@pytest.mark.parametrize("method", ["acquire_token_on_behalf_of", "initiate_long_running_on_behalf_of"])
def test_what_can_be_no_assertion_is_refused_and_not_shown(
    world: World, api: Client, method: str, given: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="user_assertion") as refused:
        getattr(api, method)(given, API)
    assert "can" not in str(refused.value).replace("can ", "")
    assert world.token_requests() == 0


@pytest.mark.parametrize(("given", "error"), [({"scopes": "x"}, TypeError), ({"tenant_id": ""}, ValueError)])
def test_other_arguments_are_refused_also_after_a_hit(
    api: Client, assertion: str, given: dict[str, Any], error: type[Exception]
) -> None:
    for _ in range(3):
        api.acquire_token_on_behalf_of(assertion, API)
    with pytest.raises(error):
        api.acquire_token_on_behalf_of(assertion, **({"scopes": API} | given))
