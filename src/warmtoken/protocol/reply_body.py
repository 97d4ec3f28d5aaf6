"""A reply's body as a JSON object, or an error that says what came in its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from warmtoken.errors import ProtocolError
from warmtoken.protocol.json_object import parse_object

if TYPE_CHECKING:
    from warmtoken.transport import HttpResponse

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_HTML_ADVICE = "an HTML page came in its place, as from a proxy, a captive portal or a wrong URL"


def read_json_reply(response: HttpResponse, what: str, *, correlation_id: str | None = None) -> dict[str, Any]:
    """Return the JSON object that a reply holds; `what` names it in the message.

    Raises ProtocolError `non_parsable_oauth_error`, which tells the content type and nothing of the body.
    """
    try:
        return parse_object(response.body)
    except ValueError as error:
        message = f"expected {what} as a JSON object, got {_media_type(response)}: {error}"
        if _is_html(response):
            message += f"; {_HTML_ADVICE}"
        raise ProtocolError("non_parsable_oauth_error", message, correlation_id=correlation_id) from None


def _media_type(response: HttpResponse) -> str:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else "a reply without a content type"


def _is_html(response: HttpResponse) -> bool:
    start = response.body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return _media_type(response) == "text/html" or start.startswith((b"<!doctype html", b"<html"))
