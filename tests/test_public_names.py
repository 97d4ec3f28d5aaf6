"""The names and signatures that programs outside the project rely on."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import warmtoken
from warmtoken import aio, errors, transport

NAMES = {
    "PublicClientApplication", "ConfidentialClientApplication", "TokenCache", "Account", "AuthenticationResult",
    "ClientSecret", "ClientCertificate", "ClientAssertion", "WarmTokenError", "UiRequiredError", "ServiceError",
    "ThrottledError", "ProtocolError", "TransportError", "ClientError", "CacheError", "CacheFullError",
    "CacheCorruptError", "CacheLockedError", "CacheRefusedError", "ResultMetadata", "TenantProfile", "AuthCodeFlow",
    "AppTokenProvider", "AppTokenProviderParameters", "AppTokenProviderResult",
    "LongRunningSession", "ManagedIdentityApplication", "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity",
}  # fmt: skip

REQUIRED = inspect.Parameter.empty
SILENT = {
    "account": None, "*login_hint": None, "*tenant_id": None, "*force_refresh": False, "*claims": None,
    "*min_validity": None, "*correlation_id": None, "*client_claims": None, "*refresh_if_sha256": None,
}  # fmt: skip
WEB = {
    "initiate_auth_code_flow": {
        "scopes": REQUIRED, "redirect_uri": REQUIRED, "*login_hint": None, "*domain_hint": None, "*prompt": None,
        "*claims": None, "*max_age": None, "*response_mode": None, "*correlation_id": None,
    },
    "acquire_token_by_auth_code_flow": {"flow": REQUIRED, "params": REQUIRED},
}  # fmt: skip
# Parameters and their defaults in order; a star is for keyword-only ones.
METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "PublicClientApplication": {
        "__init__": {
            "client_id": REQUIRED, "*authority": "https://login.microsoftonline.com/common", "*cache": None,
            "*transport": None, "*client_capabilities": (),
        },
        "get_accounts": {"username": None},
        "get_account": {"home_account_id": REQUIRED},
        "remove_account": {"account": REQUIRED},
        "get_tenant_profiles": {"account": REQUIRED},
        "acquire_token_silent": {"scopes": REQUIRED, **SILENT},
        "acquire_token_interactive": {
            "scopes": REQUIRED, "*login_hint": None, "*prompt": None, "*claims": None, "*open_browser": None,
            "*timeout": 300,
        },
        "acquire_token": {"scopes": REQUIRED, "account": None, "*fallback": "interactive"},
        "acquire_token_by_refresh_token": {"refresh_token": REQUIRED, "scopes": REQUIRED},
        **WEB,
    },
    "ConfidentialClientApplication": {
        "__init__": {
            "client_id": REQUIRED, "*credential": REQUIRED, "*authority": "https://login.microsoftonline.com/common",
        },
        "acquire_token_for_client": {
            "scopes": REQUIRED, "*force_refresh": False, "*claims": None, "*client_claims": None,
            "*refresh_if_sha256": None, "*fmi_path": None,
        },
        "acquire_token_by_user_federated_identity_credential": {
            "scopes": REQUIRED, "assertion": REQUIRED, "*username": None, "*user_object_id": None, "*tenant_id": None,
            "*claims": None, "*correlation_id": None,
        },
        "remove_tokens_for_client": {},
        **WEB,
        "acquire_token_on_behalf_of": {
            "user_assertion": REQUIRED, "scopes": REQUIRED, "*tenant_id": None, "*force_refresh": False,
            "*claims": None, "*min_validity": None, "*correlation_id": None, "*client_claims": None,
            "*refresh_if_sha256": None,
        },
        "initiate_long_running_on_behalf_of": {
            "user_assertion": REQUIRED, "scopes": REQUIRED, "*session_key": None, "*search_in_cache": False,
            "*tenant_id": None, "*claims": None, "*correlation_id": None,
        },
        "acquire_token_in_long_running_on_behalf_of": {
            "session_key": REQUIRED, "scopes": REQUIRED, "*tenant_id": None, "*force_refresh": False,
            "*claims": None, "*min_validity": None, "*correlation_id": None,
        },
        "stop_long_running_on_behalf_of": {"session_key": REQUIRED},
        "acquire_token_silent": {"scopes": REQUIRED, **SILENT},
    },
    "ManagedIdentityApplication": {
        "__init__": {
            "identity": warmtoken.SystemAssignedManagedIdentity(), "*cache": None, "*transport": None,
            "*client_capabilities": (), "*expiry_margin": None, "*on_background_refresh": None,
        },
        "acquire_token_for_managed_identity": {
            "resource": REQUIRED, "*force_refresh": False, "*claims": None, "*min_validity": None,
            "*correlation_id": None,
        },
    },
}  # fmt: skip
CASES = [(kind, method, wanted) for kind, methods in METHODS.items() for method, wanted in methods.items()]


def test_all_is_sorted_complete_and_importable() -> None:
    assert warmtoken.__all__ == sorted(warmtoken.__all__)
    assert set(warmtoken.__all__) >= NAMES
    assert len(set(warmtoken.__all__)) == len(warmtoken.__all__)
    for name in warmtoken.__all__:
        assert getattr(warmtoken, name).__name__ == name


def test_aio_has_the_same_applications() -> None:
    assert aio.__all__ == sorted(aio.__all__)
    names = {"PublicClientApplication", "ConfidentialClientApplication", "ManagedIdentityApplication"}
    assert names <= set(aio.__all__)
    for name in aio.__all__:
        assert getattr(aio, name).__module__ == "warmtoken.aio"


@pytest.mark.parametrize("module", [warmtoken, aio], ids=["sync", "async"])
@pytest.mark.parametrize(("kind", "method", "wanted"), CASES, ids=[f"{kind}.{method}" for kind, method, _ in CASES])
def test_parameters_are_as_published(module: Any, kind: str, method: str, wanted: dict[str, Any]) -> None:
    found = dict(inspect.signature(getattr(getattr(module, kind), method)).parameters)
    del found["self"]
    for name, default in wanted.items():
        parameter = found.pop(name.lstrip("*"))
        keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert (keyword_only, parameter.default) == (name.startswith("*"), default), name
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is not REQUIRED for p in found.values()), found


@pytest.mark.parametrize(
    "kind", [warmtoken.PublicClientApplication, warmtoken.TokenCache], ids=lambda kind: kind.__name__
)
def test_each_parameter_is_described(kind: Any) -> None:
    parameters = set(inspect.signature(kind).parameters) - {"client_id"}
    assert [name for name in sorted(parameters) if f"`{name}`" not in (kind.__doc__ or "")] == []


def test_a_token_provider_is_asked_and_answers_with_the_published_fields() -> None:
    fields = {
        warmtoken.AppTokenProvider: ["function"],
        warmtoken.AppTokenProviderParameters: ["scopes", "tenant_id", "correlation_id", "claims"],
        warmtoken.AppTokenProviderResult: ["access_token", "expires_in", "refresh_in"],
    }
    assert {kind: list(inspect.signature(kind).parameters) for kind in fields} == fields


@pytest.mark.parametrize(("kind", "method", "_"), CASES)
def test_sync_and_async_take_the_same_parameters(kind: str, method: str, _: object) -> None:
    sync, other = (list(inspect.signature(getattr(getattr(m, kind), method)).parameters) for m in (warmtoken, aio))
    assert sync == other


def test_claims_are_read_from_a_challenge_by_a_function_of_its_own() -> None:
    from warmtoken import challenge

    assert challenge.__all__ == ["claims_from_challenge"]
    assert list(inspect.signature(challenge.claims_from_challenge).parameters) == ["www_authenticate"]


def test_a_user_assigned_identity_is_named_by_one_of_three_ids() -> None:
    parameters = inspect.signature(warmtoken.UserAssignedManagedIdentity).parameters
    assert list(parameters) == ["client_id", "resource_id", "object_id"]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is None for p in parameters.values())


def test_a_cache_takes_a_path_and_a_key() -> None:
    path, key, *rest = list(inspect.signature(warmtoken.TokenCache).parameters.values())
    assert (path.name, path.default, path.kind) == ("path", None, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert (key.name, key.default) == ("key", None)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in [key, *rest])


def test_a_cache_takes_in_and_gives_out_the_text_of_an_msal_cache() -> None:
    assert list(inspect.signature(warmtoken.TokenCache.import_msal).parameters) == ["self", "data"]
    dialect = inspect.signature(warmtoken.TokenCache.export_msal).parameters["dialect"]
    assert dialect.default == "python"


def test_results_have_the_published_fields_and_cannot_be_changed() -> None:
    result = warmtoken.AuthenticationResult("CANARY", 1, ("a",), id_token="CANARY")
    for name in (
        "access_token", "token_type", "expires_on", "scopes", "account", "id_token", "tenant_id", "unique_id",
        "correlation_id", "metadata",
    ):  # fmt: skip
        assert hasattr(result, name)
    for name in (
        "token_source", "cache_refresh_reason", "cache_level", "refresh_on", "duration_total_ms", "duration_http_ms",
        "token_endpoint",
    ):  # fmt: skip
        assert hasattr(result.metadata, name)
    assert result.authorization_header() == "Bearer CANARY"
    assert "CANARY" not in repr(result)
    with pytest.raises(AttributeError):
        result.access_token = "other"  # type: ignore[misc]


def test_credentials_show_no_secret() -> None:
    secrets = [
        warmtoken.ClientSecret("CANARY"),
        warmtoken.ClientCertificate(b"CANARY", b"CANARY"),
        warmtoken.ClientAssertion("CANARY"),
    ]
    assert "CANARY" not in repr(secrets)


def test_a_need_for_interaction_is_no_service_error() -> None:
    assert not issubclass(errors.UiRequiredError, errors.ServiceError)
    assert issubclass(errors.ThrottledError, errors.ServiceError)
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert len(kinds) >= 12
    assert all(issubclass(kind, errors.WarmTokenError) for kind in kinds)


def test_transport_types_are_frozen() -> None:
    assert list(inspect.signature(transport.HttpRequest).parameters)[:4] == ["method", "url", "headers", "body"]
    assert list(inspect.signature(transport.HttpResponse).parameters)[:3] == ["status", "headers", "body"]
    with pytest.raises(AttributeError):
        transport.HttpResponse(200, {}, b"").status = 500  # type: ignore[misc]
