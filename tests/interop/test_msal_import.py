"""What an import makes of the entries of an MSAL cache, and what it leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from interop.conftest import MakeCache
from support.msal_texts import (
    CLIENT,
    DIALECTS,
    FAMILY_CLIENT,
    FMI_PATH,
    HOST,
    ID_TOKEN,
    NOW,
    OID,
    TENANT,
    USER,
    access,
    account,
    identity,
    jwt,
    refresh,
    text_of,
)

from warmtoken import (
    Account,
    CacheError,
    ClientError,
    ClientSecret,
    ConfidentialClientApplication,
    PublicClientApplication,
    TokenCache,
    UiRequiredError,
)
from warmtoken._engine import CachedToken
from warmtoken.cache.extended_key import extended_key
from warmtoken.cache.kept_tokens import MAX_KEPT
from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.interop.msal_overlaps import MAX_OVERLAPPING
from warmtoken.interop.msal_report import ImportReport, SkippedEntry

OWNER = Owner(HOST, CLIENT, USER)


def app(cache: TokenCache, tenant: str = "common", client_id: str = CLIENT) -> PublicClientApplication:
    return PublicClientApplication(client_id, authority=f"https://login.microsoftonline.com/{tenant}", cache=cache)


def silent(cache: TokenCache, *scopes: str, tenant: str = "common") -> str:
    application = app(cache, tenant)
    [user] = application.get_accounts()
    return application.acquire_token_silent(list(scopes), user).access_token


def found(cache: TokenCache, slot: Slot, *scopes: str) -> str | None:
    token: CachedToken | None = cache.vault().find_access_token(slot, scopes, NOW)
    return None if token is None else token.secret


def refresh_token(cache: TokenCache, owner: Owner = OWNER, family_id: str = "") -> str | None:
    token = cache.vault().find_refresh_token(owner, family_id)
    return None if token is None else token.record.secret


def reasons(report: ImportReport) -> dict[tuple[str, int], str]:
    return {(entry.section, entry.position): entry.reason for entry in report.skipped}


# --- every dialect ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_cache_of_each_msal_is_taken_whole(cache: TokenCache, dialect: str) -> None:
    sections = DIALECTS[dialect]()
    report = cache.import_msal(json.dumps(sections))
    assert report.imported == {section: len(entries) for section, entries in sections.items()}
    assert report.skipped == ()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_user_of_each_msal_is_signed_in(cache: TokenCache, dialect: str) -> None:
    cache.import_msal(json.dumps(DIALECTS[dialect]()))
    application = app(cache)
    [user] = application.get_accounts()
    assert (user.home_account_id, user.username, user.tenant_id) == (USER, "alice@example.test", TENANT)
    result = application.acquire_token_silent(["user.read"], user)
    assert result.access_token == "at-user"
    assert (result.tenant_id, result.unique_id, result.id_token) == (TENANT, OID, ID_TOKEN)
    assert result.metadata.token_source == "cache"
    assert refresh_token(cache) == "rt-user"
    assert refresh_token(cache, Owner(HOST, FAMILY_CLIENT, USER), "1") == "rt-family"


@pytest.mark.parametrize("dialect", ["dotnet", "python"])
def test_the_clients_own_token_serves_the_client(cache: TokenCache, dialect: str) -> None:
    cache.import_msal(json.dumps(DIALECTS[dialect]()))
    application = ConfidentialClientApplication(
        CLIENT, credential=ClientSecret("s"), authority=f"https://{HOST}/{TENANT}", cache=cache
    )
    assert application.acquire_token_for_client(["https://vault.test/.default"]).access_token == "at-own"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_bound_token_serves_no_plain_request(cache: TokenCache, dialect: str) -> None:
    sections = DIALECTS[dialect]()
    bound = [e for e in sections["AccessToken"].values() if e["secret"] in {"at-pop", "at-fmi", "at-claims"}]
    report = cache.import_msal(text_of(AccessToken=bound))
    assert report.imported["AccessToken"] == len(bound) > 0
    for user in (USER, None):
        slot = Slot(Owner(HOST, CLIENT, user), TENANT)
        assert found(cache, slot) is None


def test_a_map_of_components_serves_the_request_that_has_them(cache: TokenCache) -> None:
    cache.import_msal(json.dumps(DIALECTS["dotnet"]()))
    slot = Slot(Owner(HOST, CLIENT), TENANT, extended_key=extended_key({"fmi_path": FMI_PATH}))
    assert found(cache, slot, "https://vault.test/.default") == "at-fmi"


# --- rules -----------------------------------------------------------------------------------------------------------


def test_keys_are_never_trusted(cache: TokenCache) -> None:
    lie = f"mallory-{HOST}-accesstoken-{CLIENT}-{TENANT}-admin.all"
    cache.import_msal(json.dumps({"AccessToken": {lie: access()}, "Account": {lie: account()}}))
    assert silent(cache, "user.read") == "at-1"
    slot = Slot(Owner(HOST, CLIENT, "mallory"), TENANT)
    assert found(cache, slot) is None


@pytest.mark.parametrize("alias", ["login.microsoftonline.com", "LOGIN.WINDOWS.NET", "sts.windows.net"])
def test_all_names_of_a_cloud_are_one(cache: TokenCache, alias: str) -> None:
    cache.import_msal(text_of(AccessToken=[access(environment=alias)], Account=[account()]))
    assert silent(cache, "user.read") == "at-1"


@pytest.mark.parametrize("realm", ["common", "organizations", "Common"])
def test_the_realm_of_all_tenants_is_that_of_the_id_token(cache: TokenCache, realm: str) -> None:
    cache.import_msal(
        text_of(AccessToken=[access(realm=realm)], IdToken=[identity(realm=realm)], Account=[account(realm=realm)])
    )
    assert silent(cache, "user.read") == "at-1"
    assert app(cache).get_accounts()[0].tenant_id == TENANT
    assert json.loads(cache.export_msal())["AccessToken"].popitem()[1]["realm"] == realm


@pytest.mark.parametrize("newest_at", [0, 1])
def test_of_two_id_tokens_the_newer_names_the_tenant(cache: TokenCache, newest_at: int) -> None:
    tokens = [identity(jwt(tid="other-tenant", iat=NOW - 900), realm="common")]
    tokens.insert(newest_at, identity(realm="organizations"))
    entry = account(realm="common")
    cache.import_msal(text_of(AccessToken=[access(realm="common")], IdToken=tokens, Account=[entry]))
    assert silent(cache, "user.read") == "at-1"
    assert app(cache).get_accounts()[0].tenant_id == TENANT


def test_without_an_id_token_the_realm_stays(cache: TokenCache) -> None:
    cache.import_msal(text_of(AccessToken=[access(realm="common")]))
    assert found(cache, Slot(OWNER, "common"), "user.read") == "at-1"


def test_scopes_and_names_are_compared_without_case(cache: TokenCache) -> None:
    names = {"home_account_id": USER.upper(), "client_id": CLIENT.upper(), "realm": TENANT.upper()}
    upper = access(**names, target="USER.READ openid")
    cache.import_msal(text_of(AccessToken=[upper], Account=[account()]))
    assert silent(cache, "User.Read") == "at-1"


def test_what_cannot_be_used_is_left_and_said(cache: TokenCache) -> None:
    entries = [
        access(expires_on=str(NOW - 1)),
        access(expires_on=str(NOW)),
        access(secret=""),
        access(expires_on="soon"),
        access(expires_on=str(NOW + 3651 * 86400)),
        access(environment="no host"),
        access(client_id=None),
        access(target=" ".join(f"s{i}" for i in range(1001))),
        5,
        access("at-good"),
    ]
    report = cache.import_msal(text_of(AccessToken=entries))  # type: ignore[arg-type]
    assert list(reasons(report).values()) == [
        "expired", "expired", "secret_missing", "expires_on_invalid", "expires_on_invalid", "environment_invalid",
        "client_id_missing", "field_invalid", "not_an_object",
    ]  # fmt: skip
    assert report.imported["AccessToken"] == 1
    assert found(cache, Slot(OWNER, TENANT), "user.read") == "at-good"


def test_of_two_entries_of_one_thing_the_newer_is_taken(cache: TokenCache) -> None:
    old_token = jwt(tid=TENANT, iat=NOW - 900)
    report = cache.import_msal(
        text_of(
            AccessToken=[access("at-new"), access("at-old", cached_at=str(NOW - 600), environment="sts.windows.net")],
            IdToken=[identity(old_token), identity()],
            Account=[account(username="", environment="sts.windows.net"), account()],
        )
    )
    assert reasons(report) == {
        ("AccessToken", 1): "duplicate",
        ("IdToken", 0): "duplicate",
        ("Account", 0): "duplicate",
    }
    application = app(cache)
    [user] = application.get_accounts()
    result = application.acquire_token_silent(["user.read"], user)
    assert (result.access_token, result.id_token, user.username) == ("at-new", ID_TOKEN, "alice@example.test")


def test_an_access_token_that_a_newer_one_covers_is_left(cache: TokenCache) -> None:
    report = cache.import_msal(
        text_of(
            AccessToken=[
                access("at-narrow", target="User.Read", cached_at=str(NOW - 600)),
                access("at-broad"),
                access("at-newest", target="User.Read", cached_at=str(NOW - 10)),
            ]
        )
    )
    assert reasons(report) == {("AccessToken", 0): "duplicate"}
    assert found(cache, Slot(OWNER, TENANT), "user.read") == "at-newest"
    assert found(cache, Slot(OWNER, TENANT), "mail.read") == "at-broad"


def test_a_covered_access_token_is_left_whatever_its_scopes_are_called_beside(cache: TokenCache) -> None:
    old = access("at-old", target="openid USER.READ", cached_at=str(NOW - 600))
    report = cache.import_msal(text_of(AccessToken=[old, access("at-broad")]))
    assert reasons(report) == {("AccessToken", 0): "duplicate"}


def test_access_tokens_made_to_overlap_without_end_are_left(cache: TokenCache) -> None:
    entries = [access(f"at-{i}", target=f"shared s{i}") for i in range(MAX_OVERLAPPING + 10)]
    report = cache.import_msal(text_of(AccessToken=entries))
    assert set(reasons(report).values()) == {"too_many"}
    assert report.imported["AccessToken"] == MAX_OVERLAPPING + 1


def test_the_newest_refresh_token_goes_first_and_the_others_are_kept(cache: TokenCache) -> None:
    entries = [
        refresh("rt-old", last_modification_time=str(NOW - 900), target="Mail.Read"),
        refresh("rt-new", environment="login.microsoftonline.com"),
        refresh("rt-timeless", last_modification_time=None),
        refresh("rt-new", target="Other"),
        refresh("rt-old", last_modification_time="5"),
    ]
    report = cache.import_msal(text_of(RefreshToken=entries))
    assert refresh_token(cache) == "rt-new"
    assert report.kept_refresh_tokens == 2
    assert reasons(report) == {("RefreshToken", 3): "duplicate", ("RefreshToken", 4): "duplicate"}
    exported = json.loads(cache.export_msal())["RefreshToken"].values()
    assert [entry["secret"] for entry in exported] == ["rt-timeless", "rt-old", "rt-new"]


def test_what_is_in_the_cache_stays_where_it_is_newer(cache: TokenCache) -> None:
    newer = {"cached_at": str(NOW - 5), "last_modification_time": str(NOW - 5)}
    young = identity(jwt(tid=TENANT, iat=NOW))
    cache.import_msal(
        text_of(AccessToken=[access("at-2") | newer], RefreshToken=[refresh("rt-2") | newer], IdToken=[young])
    )
    report = cache.import_msal(text_of(AccessToken=[access()], RefreshToken=[refresh()], IdToken=[identity()]))
    assert reasons(report) == {("AccessToken", 0): "older_than_cached", ("IdToken", 0): "older_than_cached"}
    assert report.imported == {"AccessToken": 0, "RefreshToken": 1, "IdToken": 0, "Account": 0, "AppMetadata": 0}
    assert report.kept_refresh_tokens == 1
    assert (refresh_token(cache), found(cache, Slot(OWNER, TENANT), "user.read")) == ("rt-2", "at-2")


def test_what_is_in_the_cache_makes_way_for_what_is_newer(cache: TokenCache) -> None:
    cache.import_msal(text_of(AccessToken=[access()], RefreshToken=[refresh()], IdToken=[identity()]))
    newer = {"cached_at": str(NOW - 5), "last_modification_time": str(NOW - 5)}
    report = cache.import_msal(text_of(AccessToken=[access("at-2") | newer], RefreshToken=[refresh("rt-2") | newer]))
    assert report.skipped == ()
    assert (refresh_token(cache), found(cache, Slot(OWNER, TENANT), "user.read")) == ("rt-2", "at-2")
    secrets = {entry["secret"] for entry in json.loads(cache.export_msal())["RefreshToken"].values()}
    assert secrets == {"rt-1", "rt-2"}


def test_a_refresh_token_that_is_in_the_cache_is_not_written_again(cache: TokenCache) -> None:
    # Whoever redeems it at this moment must find it as it was.
    cache.import_msal(text_of(RefreshToken=[refresh()]))
    written = cache.vault().newest
    report = cache.import_msal(text_of(RefreshToken=[refresh(target="Other", last_modification_time=str(NOW))]))
    assert (cache.vault().newest, report.skipped) == (written, ())


def test_a_newer_refresh_token_is_another_generation(cache: TokenCache) -> None:
    for number in (1, 2, 3):
        cache.import_msal(text_of(RefreshToken=[refresh(f"rt-{number}", last_modification_time=str(number))]))
        found_token = cache.vault().find_refresh_token(OWNER)
        assert found_token is not None
        assert (found_token.generation, found_token.record.secret) == (number, f"rt-{number}")


def test_what_says_more_of_a_client_goes_before_what_says_less(cache: TokenCache) -> None:
    plain = {"client_id": CLIENT, "environment": HOST}
    member = {"client_id": CLIENT, "environment": "login.microsoftonline.com", "family_id": "1"}
    assert reasons(cache.import_msal(text_of(AppMetadata=[plain, member]))) == {("AppMetadata", 0): "duplicate"}
    assert reasons(cache.import_msal(text_of(AppMetadata=[plain]))) == {("AppMetadata", 0): "older_than_cached"}
    assert list(json.loads(cache.export_msal())["AppMetadata"].values()) == [member]


def test_the_same_import_again_writes_nothing(cache: TokenCache) -> None:
    text = json.dumps(DIALECTS["python"]())
    first = cache.import_msal(text)
    written = cache.vault().newest
    assert cache.import_msal(text) == first
    assert cache.vault().newest == written


def test_a_refresh_token_had_on_behalf_of_a_user_is_not_the_users_own(cache: TokenCache) -> None:
    cache.import_msal(
        text_of(
            RefreshToken=[refresh("rt-obo", user_assertion_hash="h")],
            AccessToken=[access("at-obo", user_assertion_hash="h")],
            Account=[account()],
        )
    )
    assert refresh_token(cache) is None
    with pytest.raises(UiRequiredError):
        silent(cache, "user.read")
    exported = json.loads(cache.export_msal())
    for section in ("AccessToken", "RefreshToken"):
        assert [entry["user_assertion_hash"] for entry in exported[section].values()] == ["h"]


def test_signing_out_removes_refresh_tokens_that_were_kept(cache: TokenCache) -> None:
    tokens = [refresh("rt-old", last_modification_time="5"), refresh(), refresh("rt-obo", user_assertion_hash="h")]
    assert cache.import_msal(text_of(RefreshToken=tokens, Account=[account()])).imported["RefreshToken"] == 3
    application = app(cache)
    application.remove_account(application.get_accounts()[0])
    assert json.loads(cache.export_msal())["RefreshToken"] == {}


def test_an_account_without_tokens_is_kept_for_the_next_export(cache: TokenCache) -> None:
    cache.import_msal(text_of(Account=[account()]))
    assert app(cache).get_accounts() == []
    assert list(json.loads(cache.export_msal())["Account"].values()) == [account()]


def test_sections_that_nobody_knows_come_back_and_are_merged(cache: TokenCache) -> None:
    cache.import_msal('{"Account": {}, "Future": {"a": {"x": 1}, "b": 1}, "List": [1]}')
    report = cache.import_msal('{"Account": {}, "Future": {"b": 2}, "List": [2]}')
    assert report.unknown_sections == 2
    exported = json.loads(cache.export_msal())
    assert (exported["Future"], exported["List"]) == ({"a": {"x": 1}, "b": 2}, [2])


def test_the_files_of_azure_cli_and_of_msal_extensions_are_those_of_msal_python(cache: TokenCache) -> None:
    written = json.dumps(DIALECTS["python"](), indent=4)
    assert cache.import_msal(written.encode()).skipped == ()


def test_the_family_of_a_refresh_token_finds_its_user(cache: TokenCache) -> None:
    cache.import_msal(text_of(RefreshToken=[refresh(family_id="1", client_id=FAMILY_CLIENT)], Account=[account()]))
    for client_id in (FAMILY_CLIENT, "another-client"):
        assert [user.username for user in app(cache, client_id=client_id).get_accounts()] == ["alice@example.test"]


def test_what_is_known_of_a_client_says_whether_it_is_in_the_family(cache: TokenCache) -> None:
    cache.import_msal(
        text_of(
            RefreshToken=[refresh(family_id="1", client_id=FAMILY_CLIENT)],
            Account=[account()],
            AppMetadata=[{"client_id": CLIENT, "environment": HOST}],
        )
    )
    assert app(cache).get_accounts() == []


def test_only_so_many_refresh_tokens_of_a_user_are_kept(cache: TokenCache) -> None:
    tokens = [refresh(f"rt-{i}", last_modification_time=str(NOW - i)) for i in range(MAX_KEPT + 3)]
    report = cache.import_msal(text_of(RefreshToken=tokens))
    assert reasons(report) == {("RefreshToken", MAX_KEPT + i): "too_many" for i in (1, 2)}
    assert (refresh_token(cache), report.kept_refresh_tokens) == ("rt-0", MAX_KEPT)


# --- other issuers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuer", "authority"),
    [
        ("https://id.example.test/realms/a", "https://id.example.test/realms/a"),
        ("https://id.example.test/", "https://id.example.test"),
        ("https://other.example.test/realms/a", "https://id.example.test"),
        ("http://id.example.test/adfs/services/trust", "https://id.example.test/adfs"),
        ("no url", "https://id.example.test"),
    ],
)
def test_an_issuer_that_is_not_entra_is_named_by_its_id_tokens(cache: TokenCache, issuer: str, authority: str) -> None:
    names = {"environment": "id.example.test", "home_account_id": "sub-1"}
    token = jwt(iss=issuer, sub="sub-1", iat=NOW)
    cache.import_msal(
        text_of(
            AccessToken=[access(**names, realm="x"), access("own", environment="id.example.test", home_account_id="")],
            RefreshToken=[refresh(**names)],
            IdToken=[identity(token, **names)],
            Account=[account(**names)],
        )
    )
    application = PublicClientApplication(CLIENT, authority=authority, cache=cache)
    [user] = application.get_accounts()
    assert application.acquire_token_silent(["user.read"], user).access_token == "at-1"
    assert refresh_token(cache, Owner(authority, CLIENT, "sub-1")) == "rt-1"
    assert found(cache, Slot(Owner(authority, CLIENT)), "user.read") == "own"


def test_ad_fs_is_told_by_its_realm(cache: TokenCache) -> None:
    names = {"environment": "fs.example.test", "home_account_id": "sub-1", "realm": "adfs"}
    cache.import_msal(text_of(RefreshToken=[refresh(**names)], Account=[account(**names)]))
    assert refresh_token(cache, Owner("https://fs.example.test/adfs", CLIENT, "sub-1")) == "rt-1"
    assert {e["realm"] for e in json.loads(cache.export_msal())["Account"].values()} == {"adfs"}


# Without an id token the account's id alone names the tenant, by its GUID.
@pytest.mark.parametrize(
    ("tenant", "with_id_token"), [(TENANT, True), (TENANT, False), ("contoso.onmicrosoft.com", True)]
)
def test_a_user_flow_of_b2c_is_told_by_the_id_token_or_the_account(
    cache: TokenCache, tenant: str, with_id_token: bool
) -> None:
    user = f"{OID}-b2c_1_susi.{TENANT}"
    names = {"environment": "contoso.b2clogin.com", "home_account_id": user, "realm": tenant}
    token = jwt(iss=f"https://contoso.b2clogin.com/{TENANT}/v2.0/", tid=TENANT, tfp="B2C_1_susi", oid=OID, sub=OID)
    cache.import_msal(
        text_of(
            AccessToken=[access(**names)],
            RefreshToken=[refresh(**names)],
            IdToken=[identity(token, **names)] if with_id_token else [],
            Account=[account(**names)],
        )
    )
    authority = f"https://contoso.b2clogin.com/tfp/{tenant}/B2C_1_susi"
    application = PublicClientApplication(CLIENT, authority=authority, cache=cache)
    [found_user] = application.get_accounts()
    assert application.acquire_token_silent(["user.read"], found_user).access_token == "at-1"


def test_external_id_is_told_by_its_host(cache: TokenCache) -> None:
    names = {"environment": "contoso.ciamlogin.com"}
    token = jwt(iss=f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0", tid=TENANT, oid=OID, sub=OID)
    cache.import_msal(
        text_of(
            AccessToken=[access(**names)],
            RefreshToken=[refresh(**names)],
            IdToken=[identity(token, **names)],
            Account=[account(**names)],
        )
    )
    application = PublicClientApplication(CLIENT, authority=f"https://contoso.ciamlogin.com/{TENANT}", cache=cache)
    [user] = application.get_accounts()
    assert application.acquire_token_silent(["user.read"], user).access_token == "at-1"


# --- all or nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{", '{"tokens": {}}', "[5]", '{"AccessToken": []}', "\x00"])
def test_a_text_that_is_refused_writes_nothing(cache: TokenCache, text: str) -> None:
    cache.import_msal(text_of(RefreshToken=[refresh()]))
    written, before = cache.vault().newest, cache.export_msal()
    with pytest.raises(ClientError):
        cache.import_msal(text)
    assert (cache.vault().newest, cache.export_msal()) == (written, before)


def test_an_import_is_one_transaction(cache: TokenCache) -> None:
    before = cache.vault().newest
    cache.import_msal(json.dumps(DIALECTS["python"]()))
    assert cache.vault().newest == before + 1


def test_an_import_that_cannot_be_written_writes_nothing(cache: TokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, before = cache.vault(), cache.export_msal()

    def full(operations: object) -> tuple[int, bool]:
        raise CacheError("disk_full", "no room")

    monkeypatch.setattr(vault.shared, "commit", full)
    with pytest.raises(CacheError):
        cache.import_msal(json.dumps(DIALECTS["python"]()))
    monkeypatch.undo()
    assert cache.export_msal() == before


def test_a_token_that_another_process_writes_meanwhile_is_looked_at_again(
    cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, commits = cache.vault(), []
    commit = vault.shared.commit

    def overtaken(operations: list[Any]) -> tuple[int, bool]:
        commits.append(operations)
        if len(commits) == 1:
            cache.import_msal(text_of(RefreshToken=[refresh("rt-newer", last_modification_time=str(NOW))]))
        return commit(operations)

    monkeypatch.setattr(vault.shared, "commit", overtaken)
    report = cache.import_msal(text_of(RefreshToken=[refresh()], Account=[account()]))
    assert refresh_token(cache) == "rt-newer"
    assert (report.kept_refresh_tokens, report.imported["Account"]) == (1, 1)


def test_no_report_shows_a_secret(cache: TokenCache) -> None:
    report = cache.import_msal(text_of(AccessToken=[access("CANARY", cached_at="CANARY", expires_on="CANARY")]))
    assert report.skipped == (SkippedEntry("AccessToken", 0, "expires_on_invalid"),)
    assert "CANARY" not in repr(report)


def test_both_kinds_of_application_share_what_was_imported(make_cache: MakeCache) -> None:
    cache = make_cache()
    cache.import_msal(text_of(AccessToken=[access()], Account=[account()]))
    user = Account(USER, HOST)
    with pytest.raises(UiRequiredError):
        app(cache, client_id="another").acquire_token_silent(["user.read"], user)
