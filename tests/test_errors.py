"""Exceptions: what they tell, that they travel between processes, and that except clauses can come in any order."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import warmtoken
from warmtoken import errors
from warmtoken.errors import (
    CacheError,
    CacheFullError,
    ClientError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
)


def throttled() -> ThrottledError:
    error = ThrottledError("request_throttled", "slow down", status=429, is_retryable=True)
    error.retry_after = 17.5
    return error


EXAMPLES: list[WarmTokenError] = [
    UiRequiredError(
        "invalid_grant",
        "sign in",
        classification="basic_action",
        claims='{"a":1}',
        suberror="s",
        error_description="d",
        correlation_id="c",
    ),
    ServiceError(
        "invalid_client",
        "no",
        status=401,
        error="invalid_client",
        error_description="d",
        suberror="s",
        error_codes=(7000215,),
        claims="{}",
        correlation_id="c",
    ),
    throttled(),
    ProtocolError("token_type_missing", "no type", correlation_id="c"),
    TransportError("connection_failed", "no route"),
    ClientError("cache_closed", "closed"),
    CacheFullError("disk_full", "full"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_copying_with_all_that_it_says(error: WarmTokenError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert twin is not error
        assert vars(twin) == vars(error)
        assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_says_its_code_and_message(error: WarmTokenError) -> None:
    assert str(error) == f"{error.message} [{error.code}]"
    assert error.code in repr(error)
    assert isinstance(error, WarmTokenError)


def test_what_needs_the_user_is_no_service_error() -> None:
    assert not issubclass(UiRequiredError, ServiceError)
    assert issubclass(ThrottledError, ServiceError)


def test_the_kinds_below_the_root_exclude_each_other() -> None:
    kinds = (UiRequiredError, ServiceError, ProtocolError, TransportError, ClientError, CacheError)
    for error in EXAMPLES:
        assert sum(isinstance(error, kind) for kind in kinds) == 1


def test_the_public_kinds_are_those_of_this_module() -> None:
    public: dict[str, Any] = {name: getattr(warmtoken, name) for name in warmtoken.__all__ if name.endswith("Error")}
    assert {"WarmTokenError", "UiRequiredError", "ServiceError", "ThrottledError", "CacheError"} <= set(public)
    assert all(getattr(errors, name) is kind for name, kind in public.items())
