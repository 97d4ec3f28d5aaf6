"""Redeeming refresh tokens (RFC 6749, section 6): what is kept, what is forgotten, what fails how."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import (
    AuthenticationResult,
    ClientError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
)
from warmtoken.errors import CacheFullError
from warmtoken.flows import sending
from warmtoken.flows.throttling import PUBLIC_HOLD, REFUSAL_HOLD
from warmtoken.transport import HttpRequest


def refresh(app: Client, signed_in: AuthenticationResult) -> AuthenticationResult:
    result: AuthenticationResult = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    return result


class Spy:
    """Notes the refresh tokens that an application sends."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def __call__(self, request: HttpRequest) -> None:
        self.sent += parse_qs(request.body.decode()).get("refresh_token", [])


# --- what comes back ---


def test_each_refresh_sends_the_newest_refresh_token(world: World) -> None:
    spy = Spy()
    app = world.public(before=spy)
    signed_in = world.sign_in(app)
    tokens = {refresh(app, signed_in).access_token for _ in range(4)}
    assert len(tokens) == len(set(spy.sent)) == 4
    assert (world.idp.counters.refreshes_granted, world.idp.counters.replays_detected) == (4, 0)


def test_a_reply_without_a_refresh_token_keeps_the_old_one(world: World) -> None:
    spy = Spy()
    app = world.public(before=spy)
    signed_in = world.sign_in(app)
    world.idp.rotation = "never"
    for _ in range(3):
        refresh(app, signed_in)
    assert len(spy.sent) == 3
    assert len(set(spy.sent)) == 1


def test_a_reply_without_an_id_token_keeps_the_account_and_the_old_id_token(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.omit_id_token = True
    renewed = refresh(app, signed_in)
    assert renewed.account == signed_in.account
    assert renewed.unique_id == signed_in.unique_id
    assert app.get_accounts() == [signed_in.account]
    cached = app.acquire_token_silent(SCOPES, signed_in.account)
    assert (cached.access_token, cached.id_token) == (renewed.access_token, signed_in.id_token)


def test_fewer_granted_scopes_are_told_and_do_not_serve_the_wider_request(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.granted_scope = "openid orders.read"
    world.clock.advance(3600)
    narrow = app.acquire_token_silent(SCOPES, signed_in.account)
    assert set(narrow.scopes) == {"openid", "orders.read"}
    assert app.acquire_token_silent(["orders.read"], signed_in.account).access_token == narrow.access_token
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token != narrow.access_token
    assert world.token_requests() == 2


def test_more_granted_scopes_serve_later_requests_for_them(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.granted_scope = "openid orders.read orders.write stock.read"
    wide = refresh(app, signed_in)
    assert "stock.read" in wide.scopes
    assert app.acquire_token_silent(["stock.read"], signed_in.account).access_token == wide.access_token
    assert world.token_requests() == 1


def test_a_reply_that_names_no_scopes_grants_those_asked_for(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.omit_scope = True
    renewed = refresh(app, signed_in)
    assert set(SCOPES) <= set(renewed.scopes)
    assert app.acquire_token_silent(["orders.read"], signed_in.account).access_token == renewed.access_token


@pytest.mark.parametrize(
    ("granted", "reserved"),
    [
        pytest.param(None, {"openid", "profile", "offline_access"}, id="all"),
        pytest.param("openid orders.read orders.write", {"openid"}, id="openid alone"),
        pytest.param("orders.read orders.write", {"openid"}, id="none said"),
    ],
)
def test_a_refresh_asks_for_the_reserved_scopes_that_were_granted(
    world: World, app: Client, granted: str | None, reserved: set[str]
) -> None:
    """RFC 6749, section 6: for nothing else; openid, without which there is no sign-in, always was."""
    world.idp.granted_scope = granted
    refresh(app, world.sign_in(app))
    (asked,) = world.idp.token_requests
    assert set(asked.scope.split()) == {*SCOPES, *reserved}


def test_more_than_the_user_allowed_needs_the_user(world: World, app: Client) -> None:
    account = world.sign_in(app, scopes=["orders.read"]).account
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES, account)
    assert refused.value.code == "invalid_scope"
    assert refused.value.classification == "consent_required"
    assert app.acquire_token_silent(["orders.read"], account, force_refresh=True).access_token  # nothing was lost


# --- dead and replaced refresh tokens ---


def test_a_dead_refresh_token_needs_the_user_and_is_asked_for_once(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.revoke_user(ALICE)
    with pytest.raises(UiRequiredError) as refused:
        refresh(app, signed_in)
    assert refused.value.code == "invalid_grant"
    assert refused.value.correlation_id
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        refresh(app, signed_in)
    assert world.token_requests() == 1
    assert app.get_accounts() == [signed_in.account]  # so that the sign-in can say who is wanted


def test_a_refusal_that_names_claims_keeps_the_refresh_token(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    challenge = '{"access_token":{"acrs":{"value":"c1"}}}'
    world.idp.fail_next(
        "token", status=400, body={"error": "invalid_grant", "claims": challenge, "suberror": "basic_action"}
    )
    with pytest.raises(UiRequiredError) as refused:
        refresh(app, signed_in)
    assert (refused.value.claims, refused.value.suberror) == (challenge, "basic_action")
    assert refused.value.classification == "basic_action"
    world.clock.advance(REFUSAL_HOLD)
    assert refresh(app, signed_in).access_token != signed_in.access_token


def signing_in_elsewhere(world: World, armed: list[bool]) -> Callable[..., None]:
    """Return a function that, once `armed`, signs the user in as another process does, and ends the session before."""

    def sign_in(*_: object) -> None:
        if armed and armed.pop():
            world.idp.revoke_user(ALICE)
            sibling = world.sibling()
            sibling.sign_in(sibling.public())

    return sign_in


CHALLENGE = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


@pytest.mark.parametrize(
    ("bypass", "outcomes"),
    [
        pytest.param({"force_refresh": True}, ["invalid_grant"], id="its access token serves"),
        pytest.param({"claims": CHALLENGE}, ["invalid_grant", "granted"], id="its refresh token is used"),
    ],
)
def test_a_sign_in_while_the_old_refresh_token_is_refused_serves_instead(
    world: World, bypass: dict[str, object], outcomes: list[str]
) -> None:
    armed: list[bool] = []
    app = world.public(before=signing_in_elsewhere(world, armed))
    signed_in = world.sign_in(app)
    armed.append(True)
    result = app.acquire_token_silent(SCOPES, signed_in.account, **bypass)
    assert result.access_token != signed_in.access_token
    assert result.account == signed_in.account
    assert [request.outcome for request in world.idp.token_requests] == outcomes
    assert world.idp.counters.replays_detected == 0
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == result.access_token


def test_a_sign_in_just_before_a_refresh_makes_it_needless(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign-in takes no lock: it may come between the last look at the cache and the read of the refresh token."""
    armed: list[bool] = []
    app = world.public()
    signed_in = world.sign_in(app)
    monkeypatch.setattr(world.cache.vault(), "save_unsaved", signing_in_elsewhere(world, armed))
    world.clock.advance(3600)
    armed.append(True)
    result = app.acquire_token_silent(SCOPES, signed_in.account)
    assert not armed
    assert world.token_requests() == 0  # since the sign-in elsewhere
    assert result.metadata.token_source == "cache"
    assert result.access_token != signed_in.access_token


def test_a_sign_in_during_a_refresh_wins(world: World) -> None:
    """The refresh token of the sign-in is the newer one: the reply to the old one must not overwrite it."""
    armed: list[bool] = []

    def sign_in_elsewhere(_: HttpRequest) -> None:
        if armed and armed.pop():
            sibling = world.sibling()
            sibling.sign_in(sibling.public())
            world.idp.revoke_refresh_tokens()
            sibling.sign_in(sibling.public())

    app = world.public(after=sign_in_elsewhere)
    signed_in = world.sign_in(app)
    armed.append(True)
    refresh(app, signed_in)
    assert refresh(app, signed_in).account == signed_in.account
    assert world.idp.counters.refreshes_refused == 0


@pytest.mark.parametrize("rotation", ["always", "never"])
def test_a_sign_out_during_a_refresh_is_not_undone(world: World, rotation: str) -> None:
    armed: list[bool] = []

    def sign_out_elsewhere(_: HttpRequest) -> None:
        if armed and armed.pop():
            sibling = world.sibling().public()
            sibling.remove_account(sibling.get_accounts()[0])

    app = world.public(after=sign_out_elsewhere)
    signed_in = world.sign_in(app)
    world.idp.rotation = rotation
    armed.append(True)
    refresh(app, signed_in)  # whoever asked before the sign-out gets the token
    assert app.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        app.acquire_token_silent(SCOPES, signed_in.account)


# --- failures lose nothing ---


def html(world: World) -> None:
    world.idp.fail_next("token", status=200, body="<html>maintenance</html>")


def broken(world: World) -> None:
    world.idp.fail_next("token", 2, status=500, body="<html>oops</html>")


def throttled(world: World) -> None:
    world.idp.fail_next("token", status=429, body="<p>slow down</p>", headers={"retry-after": "17"})


def hung_up(world: World) -> None:
    world.idp.fail_next("token", 2, disconnect="before")


def slow(world: World) -> None:
    world.idp.fail_next("token", delay=60, status=503)


@pytest.mark.parametrize(
    ("fault", "kind", "code", "is_retryable"),
    [
        pytest.param(broken, ServiceError, "service_not_available", True, id="500"),
        pytest.param(throttled, ThrottledError, "request_throttled", True, id="429"),
        pytest.param(html, ProtocolError, None, None, id="HTML"),
        pytest.param(hung_up, TransportError, "connection_failed", None, id="hung up"),
        pytest.param(slow, TransportError, "request_timeout", None, id="timeout"),
    ],
)
def test_a_failure_is_typed_and_loses_nothing(
    world: World,
    app: Client,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[World], None],
    kind: type[WarmTokenError],
    code: str | None,
    is_retryable: bool | None,
) -> None:
    signed_in = world.sign_in(app)
    fault(world)
    with monkeypatch.context() as patch:
        if fault is slow:
            patch.setattr(sending, "HTTP_TIMEOUT", 0.2)
            patch.setattr(sending, "RETRIED_WITHIN", 0.2)
        with pytest.raises(kind) as failed:
            refresh(app, signed_in)
    assert type(failed.value) is kind
    assert code is None or failed.value.code == code
    assert getattr(failed.value, "is_retryable", None) == is_retryable
    if isinstance(failed.value, ThrottledError):
        assert failed.value.retry_after == 17
    world.idp.clear_faults()
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    world.clock.advance(PUBLIC_HOLD)
    assert refresh(app, signed_in).access_token != signed_in.access_token
    assert world.idp.counters.replays_detected == 0


def test_a_refused_connection_is_typed_and_loses_nothing(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.stop()
    with pytest.raises(TransportError) as failed:
        refresh(app, signed_in)
    assert failed.value.code == "connection_failed"
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    assert app.get_accounts() == [signed_in.account]


def test_discovery_that_fails_is_tried_again(world: World) -> None:
    account = world.sign_in(world.public()).account
    app = world.public()
    world.idp.fail_next("discovery", 2, status=503)
    with pytest.raises(ServiceError, match="service_not_available"):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    world.clock.advance(PUBLIC_HOLD)
    for _ in range(2):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert world.idp.counters.requests["discovery"] == 3


def test_another_users_tokens_are_refused_and_not_stored(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.id_token_claims = {"sub": "mallory"}
    with pytest.raises(ClientError) as refused:
        refresh(app, signed_in)
    assert refused.value.code == "user_mismatch"
    assert app.get_accounts() == [signed_in.account]
    cached = app.acquire_token_silent(SCOPES, signed_in.account)
    assert (cached.access_token, cached.id_token) == (signed_in.access_token, signed_in.id_token)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "https://other.example"}, id="another issuer"),
        pytest.param({"aud": "another-client"}, id="another audience"),
        pytest.param({"exp": 1_000_000_000}, id="expired"),
    ],
)
def test_an_id_token_that_is_not_right_is_refused(world: World, app: Client, claims: dict[str, object]) -> None:
    signed_in = world.sign_in(app)
    world.idp.id_token_claims = claims
    with pytest.raises(ProtocolError, match="id_token_"):
        refresh(app, signed_in)
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token


@pytest.mark.parametrize("seconds", [-90_000, 90_000])
def test_a_clock_that_is_wrong_costs_no_session(world: World, app: Client, seconds: int) -> None:
    """The provider has spent the old refresh token by then, and takes it for stolen if it comes again."""
    signed_in = world.sign_in(app)
    now = int(world.clock.time())
    world.idp.id_token_claims = {"iat": now + seconds, "exp": now + seconds + 3600}
    with pytest.raises(ProtocolError, match="check this machine's clock"):
        refresh(app, signed_in)
    world.idp.id_token_claims = {}
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    assert refresh(app, signed_in).access_token != signed_in.access_token
    assert world.idp.counters.replays_detected == 0


# --- a cache that cannot be written ---


class FullDisk:
    """Makes the commits of a world's cache fail as long as it is full."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        shared = world.cache.vault().shared
        commit = shared.commit

        def refuse(operations: list[tuple[object, ...]]) -> tuple[int, bool]:
            if self.full:
                raise CacheFullError("disk_full", "the disk is full; free some space and try again")
            return commit(operations)

        monkeypatch.setattr(shared, "commit", refuse)


def test_a_token_that_cannot_be_stored_is_returned_and_the_spent_one_is_never_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spy = Spy()
    app = world.public(before=spy)
    signed_in = world.sign_in(app)
    disk = FullDisk(world, monkeypatch)
    disk.full = True
    with caplog.at_level(logging.WARNING, "warmtoken"):
        renewed = refresh(app, signed_in)
    assert renewed.access_token != signed_in.access_token
    (record,) = caplog.records
    assert "disk_full" in record.getMessage()
    assert not any(secret in caplog.text for secret in (*spy.sent, renewed.access_token, renewed.id_token))
    disk.full = False
    for app_now in (app, world.public(before=spy, cache=world.new_cache())):
        assert refresh(app_now, signed_in).account == signed_in.account
    assert len(spy.sent) == len(set(spy.sent)) == 3
    assert world.idp.counters.replays_detected == 0


def test_as_long_as_the_new_refresh_token_cannot_be_stored_none_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    app = world.public(before=spy)
    signed_in = world.sign_in(app)
    disk = FullDisk(world, monkeypatch)
    disk.full = True
    refresh(app, signed_in)
    for _ in range(2):
        with pytest.raises(CacheFullError):
            refresh(app, signed_in)
    assert len(spy.sent) == 1
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    disk.full = False
    refresh(app, signed_in)
    assert world.idp.counters.replays_detected == 0


def test_another_cache_object_of_the_process_sends_no_spent_token_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = world.public()
    signed_in = world.sign_in(app)
    disk = FullDisk(world, monkeypatch)
    disk.full = True
    refresh(app, signed_in)
    disk.full = False
    refresh(world.public(cache=world.new_cache()), signed_in)
    assert world.idp.counters.replays_detected == 0


def test_a_sign_out_is_not_undone_by_a_sign_in_that_could_not_be_stored(
    world: World, app: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(world, monkeypatch)
    disk.full = True
    alice = world.sign_in(app)
    disk.full = False
    app.remove_account(alice.account)
    refresh(app, world.sign_in(app, BOB))  # writes what could not be written before
    assert [account.username for account in app.get_accounts()] == [BOB]


def test_a_sign_in_that_could_not_be_stored_does_not_come_after_a_later_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    app = world.public(before=spy)
    disk = FullDisk(world, monkeypatch)
    disk.full = True
    world.sign_in(app)
    disk.full = False
    second = world.sign_in(app)
    owner = app.application._context.owner(second.account.home_account_id)
    stored = world.cache.vault().find_refresh_token(owner)
    refresh(app, second)
    assert stored is not None
    assert spy.sent == [stored.record.secret]


def test_a_refresh_token_is_kept_although_the_cache_is_closed_before_the_reply(world: World) -> None:
    cache = world.new_cache()
    app = world.public(cache=cache, after=lambda request: cache.close() if b"grant_type=refresh" in request.body else 0)
    signed_in = world.sign_in(app)
    renewed = refresh(app, signed_in)
    again = refresh(world.public(), signed_in)
    assert len({signed_in.access_token, renewed.access_token, again.access_token}) == 3
    assert world.idp.counters.replays_detected == 0


def test_a_dead_token_that_cannot_be_deleted_still_means_the_user_must_sign_in(
    world: World, app: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = world.sign_in(app)
    world.idp.revoke_user(ALICE)
    FullDisk(world, monkeypatch).full = True
    with pytest.raises(UiRequiredError, match="invalid_grant"):
        refresh(app, signed_in)


# --- import ---


def refresh_token_of(world: World, username: str = ALICE) -> str:
    """A refresh token of another library: one of the same client that this cache does not have."""
    other = World("sync", world.directory.with_name("other"), world.idp, world.clock)
    spy = Spy()
    client = other.public(before=spy)
    signed_in = other.sign_in(client, username)
    world.idp.rotation = "never"
    refresh(client, signed_in)
    world.idp.rotation = "always"
    world.idp.reset_counters()
    return spy.sent[0]


@pytest.mark.parametrize("rotation", ["always", "never"])
def test_an_imported_refresh_token_signs_its_user_in(world: World, app: Client, rotation: str) -> None:
    token = refresh_token_of(world, BOB)
    world.idp.rotation = rotation
    imported = app.acquire_token_by_refresh_token(token, SCOPES)
    assert imported.account.username == BOB
    assert imported.account.account_source == "refresh_token"
    assert imported.metadata.token_source == "identity_provider"
    assert app.get_accounts() == [imported.account]
    assert app.acquire_token_silent(SCOPES, imported.account).access_token == imported.access_token
    assert refresh(app, imported).account == imported.account
    assert world.idp.counters.replays_detected == 0


def test_an_imported_refresh_token_that_is_dead_needs_the_user(world: World, app: Client) -> None:
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_by_refresh_token("rt-unknown-canary", SCOPES)
    assert refused.value.code == "invalid_grant"
    assert "rt-unknown-canary" not in f"{refused.value}{refused.value!r}"
    assert app.get_accounts() == []


def test_an_imported_refresh_token_must_bring_its_user(world: World, app: Client) -> None:
    token = refresh_token_of(world)
    world.idp.omit_id_token = True
    with pytest.raises(ProtocolError, match="account_missing"):
        app.acquire_token_by_refresh_token(token, SCOPES)


@pytest.mark.parametrize(
    ("token", "kind"),
    [(None, TypeError), ("", ValueError), (b"rt", TypeError), ("canary\n", ValueError), ("canary\ud800", ValueError)],
)
def test_what_is_no_refresh_token_is_refused(app: Client, token: object, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="refresh_token") as refused:
        app.acquire_token_by_refresh_token(token, SCOPES)
    assert "canary" not in repr(refused.value)
