"""Silent acquisition, from the cache and by the refresh token (MSAL.NET's AcquireTokenSilent)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import Account, AuthenticationResult, ClientError, UiRequiredError, _engine
from warmtoken.cache.extended_key import components_of
from warmtoken.cache.records import AccessTokenRecord
from warmtoken.cache.sealing import RecordType
from warmtoken.challenge import claims_from_challenge
from warmtoken.errors import CacheFullError
from warmtoken.testing import UserAgent


def code_of(call: pytest.ExceptionInfo[UiRequiredError]) -> tuple[str, str]:
    return call.value.code, call.value.classification


def from_cache(result: AuthenticationResult) -> bool:
    return result.metadata.token_source == "cache"


# --- whose token ---


def test_another_issuers_user_with_the_same_id_is_not_served(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    for _ in range(2):
        app.acquire_token_silent(SCOPES, account)
    with pytest.raises(UiRequiredError, match=r"one of another\.example"):
        app.acquire_token_silent(SCOPES, replace(account, environment="another.example"))


def test_neither_account_nor_hint_is_user_null(world: World, app: Client) -> None:
    world.sign_in(app)
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES)
    assert code_of(refused) == ("user_null", "acquire_token_silent_failed")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["never signed in", "of another issuer"])
def test_an_unknown_account_has_no_tokens_and_costs_no_request(world: World, app: Client, elsewhere: bool) -> None:
    nobody = Account("nobody", "idp.example" if elsewhere else urlsplit(world.idp.issuer).netloc)
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES, nobody, correlation_id="mine")
    assert code_of(refused) == ("no_tokens_found", "acquire_token_silent_failed")
    assert refused.value.correlation_id == "mine"
    assert world.idp.counters.requests == {}


def test_a_hint_that_nobody_has_is_refused(world: World, app: Client) -> None:
    world.sign_in(app)
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES, login_hint=BOB)
    assert code_of(refused) == ("no_account_for_login_hint", "acquire_token_silent_failed")


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ({}, "user_null"),
        ({"login_hint": "nobody@example.test"}, "no_account_for_login_hint"),
        ({"login_hint": "shared@example.test"}, "multiple_accounts_for_login_hint"),
    ],
)
def test_who_is_not_told_apart_is_told_with_the_callers_correlation_id(
    world: World, app: Client, who: dict[str, str], code: str
) -> None:
    """MSAL.NET: three errors of one class (AcquireTokenSilentFailed), and no request is made for any."""
    for user in (ALICE, BOB):
        world.idp.set_user_claims(user, {"preferred_username": "shared@example.test"})
        world.sign_in(app, user)
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES, correlation_id="mine", **who)
    assert code_of(refused) == (code, "acquire_token_silent_failed")
    assert refused.value.correlation_id == "mine"
    assert world.idp.counters.requests == {}


@pytest.mark.parametrize("hint", ["", "  ", "\t"])
def test_a_blank_hint_is_misuse_whoever_is_signed_in(world: World, app: Client, hint: str) -> None:
    account = world.sign_in(app).account
    for named in (None, account):
        with pytest.raises(ValueError, match="expected login_hint to have something in it"):
            app.acquire_token_silent(SCOPES, named, login_hint=hint)


def test_a_hint_finds_who_can_be_served_where_another_of_that_name_cannot(world: World, app: Client) -> None:
    """MSAL.NET: an account without tokens is none that a hint could mean."""
    for user in (ALICE, BOB):
        world.idp.set_user_claims(user, {"preferred_username": "shared@example.test"})
    world.idp.omit_refresh_token = True
    world.sign_in(app, ALICE)
    world.idp.omit_refresh_token = False
    world.clock.advance(3600)
    bob = world.sign_in(app, BOB)
    assert app.acquire_token_silent(SCOPES, login_hint="shared@example.test").account == bob.account


def test_a_hint_that_two_users_have_is_refused(world: World, app: Client) -> None:
    for user in (ALICE, BOB):
        world.idp.set_user_claims(user, {"preferred_username": "shared@example.test"})
        world.sign_in(app, user)
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES, login_hint="shared@example.test")
    assert code_of(refused) == ("multiple_accounts_for_login_hint", "acquire_token_silent_failed")


def test_a_hint_is_compared_without_case(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    assert app.acquire_token_silent(SCOPES, login_hint=ALICE.upper()).access_token == signed_in.access_token


def test_an_account_wins_over_a_hint(world: World, app: Client) -> None:
    alice, _ = world.sign_in(app, ALICE), world.sign_in(app, BOB)
    result = app.acquire_token_silent(SCOPES, alice.account, login_hint=BOB)
    assert result.access_token == alice.access_token


def test_what_a_hint_found_is_never_served_to_another_hint_or_to_none(world: World, app: Client) -> None:
    tokens = {user: world.sign_in(app, user).access_token for user in (ALICE, BOB)}
    for _ in range(3):
        for user in (ALICE, BOB):
            result = app.acquire_token_silent(SCOPES, login_hint=user)
            assert (result.account.username, result.access_token) == (user, tokens[user])
    with pytest.raises(UiRequiredError, match="user_null"):
        app.acquire_token_silent(SCOPES)


def test_a_plain_issuer_has_no_tenants(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    with pytest.raises(ValueError, match="expected no tenant"):
        app.acquire_token_silent(SCOPES, account, tenant_id="contoso.example")


# --- which token ---


def test_a_first_hit_comes_from_the_store_and_the_next_from_memory(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    results = [app.acquire_token_silent(SCOPES, signed_in.account) for _ in range(3)]
    assert [result.metadata.cache_level for result in results] == ["store", "L1", "L1"]
    for result in results:
        assert result.access_token == signed_in.access_token
        assert result.id_token == signed_in.id_token
        assert result.account == signed_in.account
        assert (result.expires_on, result.scopes) == (signed_in.expires_on, signed_in.scopes)
        assert from_cache(result)
        assert result.metadata.cache_refresh_reason == "not_applicable"
        assert result.metadata.token_endpoint is None
        assert result.metadata.duration_http_ms == 0.0
    assert results[0].metadata.duration_total_ms > 0.0
    assert results[2].metadata.duration_total_ms == 0.0
    assert world.idp.counters.requests == {}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(SCOPES, id="exact"),
        pytest.param(["orders.write", "orders.read"], id="in another order"),
        pytest.param(["orders.read"], id="subset"),
        pytest.param(["ORDERS.Read"], id="subset in another case"),
        pytest.param(["Orders.WRITE", "orders.READ"], id="exact in another case"),
        pytest.param(["orders.read", "openid", "Profile", "offline_access"], id="with reserved scopes"),
        pytest.param(["openid"], id="a reserved scope alone"),
        pytest.param(["openid", "profile", "OFFLINE_ACCESS"], id="all reserved scopes"),
        pytest.param([], id="none"),
        pytest.param(("orders.read",), id="a tuple"),
        pytest.param({"orders.read"}, id="a set"),
    ],
)
def test_a_token_serves_what_its_scopes_cover(world: World, app: Client, asked: object) -> None:
    signed_in = world.sign_in(app)
    for _ in range(3):
        result = app.acquire_token_silent(asked, signed_in.account)
        assert result.access_token == signed_in.access_token
    assert world.token_requests() == 0


def test_scopes_may_come_from_a_generator(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    result = app.acquire_token_silent((scope for scope in SCOPES), signed_in.account)
    assert result.access_token == signed_in.access_token


def test_more_scopes_than_the_token_has_need_a_refresh(world: World, app: Client) -> None:
    narrow = world.sign_in(app, scopes=["orders.read"])
    world.idp.allow_wider_scope = True
    wide = app.acquire_token_silent(SCOPES, narrow.account)
    assert not from_cache(wide)
    assert wide.metadata.cache_refresh_reason == "no_cached_access_token"
    assert {"orders.read", "orders.write"} <= set(wide.scopes)
    for asked in (SCOPES, ["orders.read"], ["orders.write"]):
        assert app.acquire_token_silent(asked, narrow.account).access_token == wide.access_token
    assert world.token_requests() == 1


def test_a_list_that_is_changed_afterwards_asks_for_what_it_says_then(world: World, app: Client) -> None:
    account = world.sign_in(app, scopes=["orders.read"]).account
    world.idp.allow_wider_scope = True
    asked = ["orders.read"]
    for _ in range(3):
        app.acquire_token_silent(asked, account)
    asked.append("orders.write")
    assert "orders.write" in app.acquire_token_silent(asked, account).scopes


def test_a_list_that_is_changed_during_the_call_keeps_nothing_for_what_it_says_then(world: World) -> None:
    asked = ["orders.read"]
    app = world.public(before=lambda _: asked.__setitem__(0, "orders.write"))
    account = world.sign_in(app, scopes=asked).account
    asked[0] = "orders.read"
    world.idp.allow_wider_scope = True
    world.clock.advance(3600 - 10)
    world.idp.fail_next("token", status=503, times=2)
    assert "orders.write" not in app.acquire_token_silent(asked, account).scopes  # the provider fails: not expired yet
    assert asked == ["orders.write"]
    assert "orders.write" in app.acquire_token_silent(asked, account).scopes


def test_a_wide_token_serves_where_the_exact_one_is_about_to_expire(world: World, app: Client) -> None:
    wide = world.sign_in(app)
    world.idp.access_token_lifetime = 600
    narrow = app.acquire_token_silent(["orders.read"], wide.account, force_refresh=True)
    world.clock.advance(590)
    assert narrow.access_token != wide.access_token
    assert app.acquire_token_silent(["orders.read"], wide.account).access_token == wide.access_token
    assert world.token_requests() == 1


# --- correlation ids and metadata ---


def test_a_correlation_id_is_handed_back_from_the_cache_and_sent_to_the_provider(world: World) -> None:
    sent: list[str] = []
    app = world.public(before=lambda request: sent.append(request.headers["client-request-id"]))
    account = world.sign_in(app).account
    sent.clear()
    assert app.acquire_token_silent(SCOPES, account, correlation_id="mine-1").correlation_id == "mine-1"
    assert app.acquire_token_silent(SCOPES, account).correlation_id is None
    forced = app.acquire_token_silent(SCOPES, account, force_refresh=True, correlation_id="mine-2")
    assert (forced.correlation_id, sent) == ("mine-2", ["mine-2"])


def test_a_refresh_says_where_it_asked_why_and_how_long_it_took(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.clock.advance(3500)
    result = app.acquire_token_silent(SCOPES, signed_in.account)
    metadata = result.metadata
    assert (metadata.token_source, metadata.cache_level) == ("identity_provider", "none")
    assert metadata.cache_refresh_reason == "expired"
    assert metadata.token_endpoint == f"{world.idp.issuer}/token"
    assert 0 < metadata.duration_http_ms < metadata.duration_total_ms
    assert result.correlation_id


def test_refresh_in_becomes_refresh_on(world: World, app: Client) -> None:
    world.idp.refresh_in = 1800
    signed_in = world.sign_in(app)
    assert signed_in.metadata.refresh_on == signed_in.expires_on - 1800
    for _ in range(2):
        assert app.acquire_token_silent(SCOPES, signed_in.account).metadata.refresh_on == signed_in.expires_on - 1800


# --- bypassing the cache ---


def test_force_refresh_gets_a_new_token_and_keeps_it(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    app.acquire_token_silent(SCOPES, signed_in.account)
    forced = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert forced.access_token != signed_in.access_token
    assert forced.metadata.cache_refresh_reason == "force_refresh_or_claims"
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == forced.access_token
    assert world.token_requests() == 1


def test_claims_bypass_the_cache_and_what_they_bring_serves_plain_calls(world: World) -> None:
    app = world.public(client_capabilities=["cp1"])
    signed_in = world.sign_in(app)
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'
    challenged = app.acquire_token_silent(SCOPES, signed_in.account, claims=claims)
    assert challenged.access_token != signed_in.access_token
    assert challenged.metadata.cache_refresh_reason == "force_refresh_or_claims"
    (asked,) = world.idp.token_requests
    assert json.loads(asked.claims or "") == {
        "access_token": {"nbf": {"essential": True, "value": "1700000000"}, "xms_cc": {"values": ["cp1"]}}
    }
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == challenged.access_token
    assert world.token_requests() == 1


def test_capabilities_alone_do_not_bypass_the_cache(world: World) -> None:
    app = world.public(client_capabilities=["cp1"])
    signed_in = world.sign_in(app)
    assert from_cache(app.acquire_token_silent(SCOPES, signed_in.account))


@pytest.mark.parametrize("claims", ["[1]", "{", "secret-claim-7"])
def test_claims_that_are_no_json_object_are_refused_without_being_shown(world: World, app: Client, claims: str) -> None:
    account = world.sign_in(app).account
    with pytest.raises(ClientError) as refused:
        app.acquire_token_silent(SCOPES, account, claims=claims)
    assert refused.value.code == "invalid_json_claims_format"
    assert "secret-claim-7" not in str(refused.value)
    assert world.token_requests() == 0


# --- claims of the client's own ---

OWN_CLAIMS = '{"access_token":{"department":null}}'


def test_client_claims_are_sent_along_and_do_not_bypass_the_cache(world: World) -> None:
    app = world.public(client_capabilities=["cp1"])
    account = world.sign_in(app).account
    results = [app.acquire_token_silent(SCOPES, account, client_claims=OWN_CLAIMS) for _ in range(3)]
    assert [result.metadata.cache_level for result in results] == ["none", "store", "store"]
    assert len({result.access_token for result in results}) == 1
    (asked,) = world.idp.token_requests
    assert json.loads(asked.claims or "") == {"access_token": {"department": None, "xms_cc": {"values": ["cp1"]}}}


def test_a_token_with_client_claims_serves_those_alone_who_asked_with_the_same(world: World, app: Client) -> None:
    """In both directions: neither kind of token serves the other kind of request, in the file or in memory."""
    signed_in = world.sign_in(app)
    others = [OWN_CLAIMS, '{"access_token":{"department":{"essential":true}}}', None]
    for _ in range(3):
        tokens = {
            claims: app.acquire_token_silent(SCOPES, signed_in.account, client_claims=claims) for claims in others
        }
        assert len({result.access_token for result in tokens.values()}) == 3
        assert tokens[None].access_token == signed_in.access_token
        # Fewer scopes are looked up another way.
        for claims, result in tokens.items():
            for scopes in (["orders.read"], []):
                narrow = app.acquire_token_silent(scopes, signed_in.account, client_claims=claims)
                assert narrow.access_token == result.access_token
    assert world.token_requests() == 2


def test_client_claims_that_say_the_same_get_the_same_token(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    first = app.acquire_token_silent(SCOPES, account, client_claims='{"a":{"x":1,"y":2}}')
    same = app.acquire_token_silent(SCOPES, account, client_claims=' {"a": {"y": 2, "x": 1}}')
    assert same.access_token == first.access_token


def test_empty_client_claims_are_a_plain_request(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    assert (
        app.acquire_token_silent(SCOPES, signed_in.account, client_claims="{}").access_token == signed_in.access_token
    )


def test_a_challenge_beside_client_claims_bypasses_the_cache_and_its_token_serves_the_same_claims(
    world: World, app: Client
) -> None:
    signed_in = world.sign_in(app)
    challenge = '{"access_token":{"nbf":{"value":"1"}}}'
    forced = app.acquire_token_silent(SCOPES, signed_in.account, client_claims=OWN_CLAIMS, claims=challenge)
    assert app.acquire_token_silent(SCOPES, signed_in.account, client_claims=OWN_CLAIMS).access_token == (
        forced.access_token
    )
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    (asked,) = world.idp.token_requests
    assert json.loads(asked.claims or "") == {"access_token": {"department": None, "nbf": {"value": "1"}}}


def test_the_record_says_which_client_claims_a_token_was_made_with(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    app.acquire_token_silent(SCOPES, account, client_claims=OWN_CLAIMS)
    components = [components_of(record.extended_key) for record in access_tokens_in(world)]
    assert sorted(components, key=len) == [{}, {"client_claims": OWN_CLAIMS}]


def access_tokens_in(world: World) -> list[AccessTokenRecord]:
    vault = world.cache.vault()
    sealed = _engine.scan(vault.shared.store, _engine.ACCESS, b"")
    plains = [vault.sealer.unseal(RecordType.ACCESS_TOKEN, key, value) for key, value in sealed]
    return [AccessTokenRecord(*_engine.split_fields(plain)) for plain in plains if plain]  # type: ignore[arg-type]


@pytest.mark.parametrize("claims", ["[1]", "{", "secret-claim-7", '{"secret-claim-7":1,"secret-claim-7":2}'])
def test_client_claims_that_are_no_json_object_are_refused_early_and_not_shown(
    world: World, app: Client, claims: str
) -> None:
    signed_in = world.sign_in(app)
    for account in (signed_in.account, None):
        with pytest.raises(ClientError) as refused:
            app.acquire_token_silent(SCOPES, account, client_claims=claims)
        assert refused.value.code == "invalid_json_claims_format"
        assert "secret-claim-7" not in str(refused.value)
    assert world.token_requests() == 0


def test_a_certain_miss_with_client_claims_is_none_without(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    app.remove_account(account)
    for _ in range(2):
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            app.acquire_token_silent(SCOPES, account, client_claims=OWN_CLAIMS)
    world.sign_in(app)
    for _ in range(2):
        assert from_cache(app.acquire_token_silent(SCOPES, account))


# --- a token that an API refused ---


def sha256_of(result: AuthenticationResult) -> str:
    return hashlib.sha256(result.access_token.encode()).hexdigest()


@pytest.mark.parametrize("spelt", [str.lower, str.upper])
def test_a_token_that_an_api_refused_is_not_served_and_its_successor_is(
    world: World, app: Client, spelt: Callable[[str], str]
) -> None:
    refused = world.sign_in(app)
    for _ in range(2):
        app.acquire_token_silent(SCOPES, refused.account)  # it is in memory, too
    named = spelt(sha256_of(refused))
    results = [app.acquire_token_silent(SCOPES, refused.account, refresh_if_sha256=named) for _ in range(3)]
    assert [result.metadata.token_source for result in results] == ["identity_provider", "cache", "cache"]
    assert results[0].metadata.cache_refresh_reason == "force_refresh_or_claims"
    assert len({result.access_token for result in results}) == 1
    assert refused.access_token != results[0].access_token
    assert app.acquire_token_silent(SCOPES, refused.account).access_token == results[0].access_token
    assert world.token_requests() == 1


def test_the_hash_of_another_token_does_not_matter(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    result = app.acquire_token_silent(SCOPES, signed_in.account, refresh_if_sha256="0" * 64)
    assert (result.access_token, from_cache(result)) == (signed_in.access_token, True)


def test_a_challenge_that_names_the_refused_token_is_answered_by_another_from_the_cache(
    world: World, app: Client
) -> None:
    """MSAL.NET's rule: with a hash, claims alone do not bypass the cache."""
    refused = world.sign_in(app)
    challenge = base64.b64encode(b'{"access_token":{"nbf":{"value":"1"}}}').decode()
    claims = claims_from_challenge(f'Bearer realm="", error="insufficient_claims", claims="{challenge}"')
    ask = {"claims": claims, "refresh_if_sha256": sha256_of(refused)}
    results = [app.acquire_token_silent(SCOPES, refused.account, **ask) for _ in range(2)]
    assert [from_cache(result) for result in results] == [False, True]
    (asked,) = world.idp.token_requests
    assert "nbf" in (asked.claims or "")


@pytest.mark.parametrize("bad", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 64 + "\n"])
def test_what_is_no_sha256_is_refused(world: World, app: Client, bad: str) -> None:
    account = world.sign_in(app).account
    with pytest.raises(ValueError, match="refresh_if_sha256"):
        app.acquire_token_silent(SCOPES, account, refresh_if_sha256=bad)


def test_a_hash_and_force_refresh_exclude_each_other(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    with pytest.raises(ValueError, match="force_refresh"):
        app.acquire_token_silent(SCOPES, account, refresh_if_sha256="0" * 64, force_refresh=True)


# --- apart from one another ---


def test_two_clients_never_see_each_others_tokens(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    other = world.public("other")
    assert other.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        other.acquire_token_silent(SCOPES, account)


def test_two_authorities_never_see_each_others_tokens(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    other = world.public(authority=world.idp.issuer.replace("127.0.0.1", "localhost"))
    assert other.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        other.acquire_token_silent(SCOPES, account)


def test_two_users_never_get_each_others_tokens(world: World, app: Client) -> None:
    signed_in = {user: world.sign_in(app, user) for user in (ALICE, BOB)}
    for _ in range(3):
        for result in signed_in.values():
            assert app.acquire_token_silent(SCOPES, result.account).access_token == result.access_token
    world.clock.advance(3600)
    for result in signed_in.values():
        renewed = app.acquire_token_silent(SCOPES, result.account)
        assert renewed.account == result.account
        assert renewed.id_token_claims["sub"] == result.account.home_account_id


def test_two_applications_with_other_margins_share_the_store_but_not_what_is_in_memory(world: World) -> None:
    patient, careful = world.public(expiry_margin=0), world.public(expiry_margin=3000)
    signed_in = world.sign_in(patient)
    world.clock.advance(1000)
    for _ in range(2):
        assert patient.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    assert careful.acquire_token_silent(SCOPES, signed_in.account).access_token != signed_in.access_token


def test_an_account_that_was_made_up_by_id_alone_will_do(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    bare = replace(signed_in.account, username="", name="", local_account_id="")
    assert app.acquire_token_silent(SCOPES, bare).access_token == signed_in.access_token


# --- certain misses ---


def test_a_certain_miss_is_answered_from_memory_until_something_is_written(world: World) -> None:
    app = world.public()
    account = world.sign_in(app).account
    app.remove_account(account)
    hits = world.cache.stats

    def miss() -> UiRequiredError:
        with pytest.raises(UiRequiredError, match="no_tokens_found") as caught:
            app.acquire_token_silent(SCOPES, account)
        return caught.value

    first, served = miss(), hits().l1_hits
    second = miss()
    assert hits().l1_hits == served + 1
    assert second is not first
    assert (second.code, second.message, second.classification) == (first.code, first.message, first.classification)
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        app.acquire_token_silent(["orders.read"], account)
    assert hits().l1_hits == served + 1  # another request is another miss
    world.sign_in(world.sibling().public())
    assert app.acquire_token_silent(SCOPES, account).account == account
    assert world.token_requests() == 0


def test_a_kept_miss_does_not_stand_in_the_way_of_a_sign_in(world: World) -> None:
    app = world.public()
    account = world.sign_in(app).account
    app.remove_account(account)
    for _ in range(2):
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            app.acquire_token_silent(SCOPES, account)
    agent = UserAgent(username=ALICE)
    assert app.acquire_token(SCOPES, account, open_browser=agent).account == account
    agent.join()
    assert app.acquire_token_silent(SCOPES, account).metadata.token_source == "cache"


def test_a_kept_miss_ends_with_a_sign_in_that_could_not_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise CacheFullError("disk_full", "no room")

    app, other = world.public(), world.public(cache=world.new_cache())
    account = world.sign_in(app).account
    app.remove_account(account)
    for _ in range(2):
        for each in (app, other):
            with pytest.raises(UiRequiredError, match="no_tokens_found"):
                each.acquire_token_silent(SCOPES, account)
    with monkeypatch.context() as full:
        full.setattr(world.cache.vault().shared, "commit", no_room)
        world.sign_in(app)
    for each in (other, app):
        assert each.acquire_token_silent(SCOPES, account).account == account


def test_a_token_that_is_found_too_late_is_counted(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    app.acquire_token_silent(SCOPES, account)
    assert world.cache.stats().store_expired == 0
    world.clock.advance(7200)
    assert not from_cache(app.acquire_token_silent(SCOPES, account))
    stats = world.cache.stats()
    assert stats.store_expired > 0
    assert stats.store_misses == 0
