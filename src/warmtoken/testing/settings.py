"""The settings of the identity provider that a test may change at any time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Rotation = Literal["always", "never"]
AccessTokenFormat = Literal["opaque", "jwt"]
OnBehalfOf = Literal["jwt-bearer", "token-exchange"]


@dataclass(slots=True)
class Settings:
    """How the provider behaves. Lifetimes and intervals are in whole seconds, delays in seconds."""

    access_token_lifetime: int = 3600
    refresh_token_lifetime: int = 14 * 86400
    id_token_lifetime: int = 3600
    code_lifetime: int = 60
    device_code_lifetime: int = 900
    device_interval: int = 5
    rotation: Rotation = "always"
    access_token_format: AccessTokenFormat = "opaque"
    on_behalf_of: OnBehalfOf = "jwt-bearer"
    refresh_in: int | None = None
    granted_scope: str | None = None
    omit_id_token: bool = False
    omit_refresh_token: bool = False
    omit_scope: bool = False
    allow_wider_scope: bool = False
    token_delay: float = 0.0
    id_token_claims: dict[str, Any] = field(default_factory=dict[str, Any])
    authorization_response: dict[str, Any] = field(default_factory=dict[str, Any])

    def change(self, name: str, value: object) -> None:
        """Set one setting; raises ValueError for an unknown name or value, TypeError for a wrong type."""
        check = _CHECKS.get(name)
        if check is None:
            raise ValueError(f"expected one of the settings {', '.join(_CHECKS)}, not {name!r}")
        check(name, value)
        setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected whole seconds as an int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name}: expected seconds from 0 up, not {value}")


def check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}: expected 1 or more, not {value}")


def check_status(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"status: expected an int, not {type(value).__name__}")
    if not 200 <= value <= 599:
        raise ValueError(f"status: expected a final HTTP status, 200 to 599, not {value}")


def check_delay(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected seconds as a number, not {type(value).__name__}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name}: expected seconds from 0 up, not {value}")


def check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, not {type(value).__name__}")


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected a bool, not {type(value).__name__}")


def check_claims(name: str, value: object) -> None:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in cast("dict[object, object]", value)):
        raise TypeError(f"{name}: expected a dict with names as keys")


def one_of(*allowed: str) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if value not in allowed:
            raise ValueError(f"{name}: expected one of {', '.join(allowed)}, not {value!r}")

    return check


def optional(check: Callable[[str, object], None]) -> Callable[[str, object], None]:
    def check_unless_none(name: str, value: object) -> None:
        if value is not None:
            check(name, value)

    return check_unless_none


_CHECKS: dict[str, Callable[[str, object], None]] = {
    "access_token_lifetime": check_seconds,
    "refresh_token_lifetime": check_seconds,
    "id_token_lifetime": check_seconds,
    "code_lifetime": check_seconds,
    "device_code_lifetime": check_seconds,
    "device_interval": check_seconds,
    "rotation": one_of("always", "never"),
    "access_token_format": one_of("opaque", "jwt"),
    "on_behalf_of": one_of("jwt-bearer", "token-exchange"),
    "refresh_in": optional(check_seconds),
    "granted_scope": optional(check_text),
    "omit_id_token": check_bool,
    "omit_refresh_token": check_bool,
    "omit_scope": check_bool,
    "allow_wider_scope": check_bool,
    "token_delay": check_delay,
    "id_token_claims": check_claims,
    "authorization_response": check_claims,
}
