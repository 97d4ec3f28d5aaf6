"""Why an entry of an MSAL cache is not taken."""

from __future__ import annotations

from typing import Any, Literal, get_args

Entry = dict[str, Any]
Reason = Literal[
    "not_an_object", "field_invalid", "environment_missing", "environment_invalid", "client_id_missing",
    "home_account_id_missing", "secret_missing", "secret_invalid", "expires_on_invalid", "key_id_ambiguous",
    "expired", "duplicate", "too_many", "older_than_cached",
]  # fmt: skip
KNOWN_REASONS: tuple[Reason, ...] = get_args(Reason)

MAX_TEXT = 1 << 16


class Unfit(Exception):
    """An entry cannot be taken; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def checked_text(value: object) -> str:
    """Return a field's text, "" for null; raises Unfit for what is none, or is longer than 64 Ki characters."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise Unfit("field_invalid")
    return value
