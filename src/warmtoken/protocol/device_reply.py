"""Device authorization replies, read strictly (RFC 8628, section 3.2)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from warmtoken.errors import ProtocolError
from warmtoken.protocol.authority import split_url
from warmtoken.protocol.reply_body import read_json_reply
from warmtoken.protocol.service_error import error_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warmtoken.transport import HttpResponse

DEFAULT_INTERVAL = 5
MAX_INTERVAL = 3600
MAX_LIFETIME = 24 * 3600

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_USER_CODE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,98}[\x21-\x7e])?")  # it goes to a terminal
_NUMBER = re.compile(r"[0-9]{1,300}(\.[0-9]{1,300})?")


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What the user has to do, and the code to poll with, which the repr does not show.

    `expires_in` is in seconds from the reply; `interval` is the number of seconds between two polls, at least 1.
    """

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: int
    interval: int = DEFAULT_INTERVAL


def parse_device_reply(
    response: HttpResponse,
    *,
    correlation_id: str | None = None,
    secrets: Sequence[str] = (),
    now: float | None = None,
) -> DeviceAuthorization:
    """Return what a device authorization endpoint granted.

    `secrets` are what the request carried, `now` is in Unix seconds. Raises the errors of `service_error.error_from`
    where the reply is a refusal, and ProtocolError where it breaks the protocol, or sends the user to a URL that is
    not https (http: only on loopback). No message holds a value of the reply.
    """
    if response.status != 200:
        raise error_from(response, correlation_id=correlation_id, secrets=secrets, now=now)
    fields = read_json_reply(response, "a device authorization reply", correlation_id=correlation_id)
    if "error" in fields and "device_code" not in fields:  # some servers refuse with status 200
        raise error_from(response, correlation_id=correlation_id, secrets=secrets, now=now)
    reader = _Reader(fields, correlation_id)
    return DeviceAuthorization(
        device_code=reader.text("device_code", _VISIBLE, "visible ASCII characters"),
        user_code=reader.text("user_code", _USER_CODE, "at most 100 printable ASCII characters"),
        verification_uri=reader.url("verification_uri"),
        verification_uri_complete=(
            reader.url("verification_uri_complete") if reader.has("verification_uri_complete") else None
        ),
        expires_in=int(min(reader.seconds("expires_in"), MAX_LIFETIME)),
        interval=_interval(reader.seconds("interval")) if reader.has("interval") else DEFAULT_INTERVAL,
    )


def _interval(seconds: float) -> int:
    return max(1, math.ceil(min(seconds, MAX_INTERVAL)))


@dataclass(frozen=True, slots=True)
class _Reader:
    fields: dict[str, Any] = field(repr=False)
    correlation_id: str | None

    def has(self, name: str) -> bool:
        return self.fields.get(name) not in (None, "")

    def text(self, name: str, pattern: re.Pattern[str], of: str) -> str:
        value = self._required(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._error(f"{name}_invalid", f"{name} of {of}", "another value")
        return value

    def url(self, name: str) -> str:
        value = self._required(name)
        try:
            split_url(cast("str", value), name)
        except (TypeError, ValueError) as error:
            raise self._error(f"{name}_invalid", f"{name} as a URL for the user", f"another value: {error}") from None
        return cast("str", value)

    def seconds(self, name: str) -> float:
        value = self._required(name)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self._error(f"{name}_invalid", f"{name} as a number of seconds", "another value")
        return value

    def _required(self, name: str) -> object:
        if not self.has(name):
            raise self._error(f"{name}_missing", f"{name}", "none")
        return self.fields[name]

    def _error(self, code: str, expected: str, came: str) -> ProtocolError:
        message = (
            f"expected {expected} in the device authorization reply, got {came}; the identity provider breaks RFC 8628"
        )
        return ProtocolError(code, message, correlation_id=self.correlation_id)
